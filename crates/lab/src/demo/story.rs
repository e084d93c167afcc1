//! The story as text, for a terminal.

use std::fmt::Write as _;

use foghorn_model::incident::{Event, Level};
use foghorn_model::{Incident, Timestamp, TransitionKind};

use super::{DemoSummary, Told};

/// ANSI colours, or none.
#[derive(Clone, Copy, Debug)]
pub struct Paint(pub bool);

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        if self.0 {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// `09:29:15`
pub fn clock(at: Timestamp) -> String {
    at.to_string().get(11..19).unwrap_or_default().to_owned()
}

/// One thing that was told, as lines of text; `None` where there is nothing to print.
pub fn text(told: &Told<'_>, paint: Paint) -> Option<String> {
    match told {
        Told::Progress(..) => None,
        Told::Change(change) => {
            let what = format!("{:?}", change.kind).to_lowercase();
            Some(format!(
                "{}  {:<9} {} {}",
                clock(change.at),
                paint.with("36", &what),
                change.service,
                change.version
            ))
        }
        Told::Alert(t) => {
            let (word, colour) = match t.kind {
                TransitionKind::Firing => ("firing", "31"),
                _ => ("resolved", "32"),
            };
            let said = t
                .annotations
                .get("summary")
                .map_or_else(|| t.labels.to_string(), str::to_owned);
            let why = if t.kind == TransitionKind::Resolved {
                t.reason.to_string()
            } else {
                said
            };
            let mut line = format!(
                "{}  {} {:<22} {why}",
                clock(t.at),
                paint.with(colour, &format!("{word:<9}")),
                t.rule.name
            );
            if let foghorn_model::Reason::Anomaly { .. } = t.reason {
                let _infallible = write!(
                    line,
                    "\n{:>20} {}",
                    "",
                    paint.with("2", &t.reason.to_string())
                );
            }
            Some(line)
        }
        Told::Match(m) => Some(format!(
            "{}  {} {:<22} {}",
            clock(m.at),
            paint.with("31", "matched  "),
            m.rule.name,
            m.annotations.get("summary").unwrap_or(&m.line),
        )),
        Told::Incident(incident) => Some(block(incident, paint)),
    }
}

fn block(incident: &Incident, paint: Paint) -> String {
    let level = match incident.priority.level {
        Level::P1 => "1;41",
        Level::P2 => "1;31",
        Level::P3 => "1;33",
        Level::P4 | Level::P5 => "1;34",
    };
    let event = format!("{:?}", incident.event).to_uppercase();
    let head = format!(
        "{}  {} {} {}",
        clock(incident.updated_at),
        paint.with(level, &format!(" {} ", incident.priority.level)),
        paint.with("1", &format!("INCIDENT {event}")),
        paint.with("1", &incident.title),
    );
    let id = incident.id.to_string();
    let mut text = format!(
        "{head}\n            {} rev {} · {} alerts, {} firing",
        &id[..8],
        incident.revision,
        incident.alerts_total,
        incident.alerts_firing
    );
    let services: Vec<_> = incident
        .services
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    if !matches!(
        incident.event,
        Event::Opened | Event::Resolved | Event::Reopened
    ) {
        // The whole story is told at the beginning and at the end.
        let _infallible = write!(text, " · {}", services.join(", "));
        return text;
    }
    let mut line = |name: &str, value: &str| {
        let _infallible = write!(text, "\n            {:<9} {value}", paint.with("2", name));
    };
    line("services", &services.join(", "));
    line("cause", &incident.probable_cause);
    if let Some(suspect) = incident.suspects.first() {
        for evidence in suspect.evidence.iter().take(3) {
            line("", &format!("· {evidence}"));
        }
    }
    let tie = incident
        .alerts
        .iter()
        .rev()
        .find_map(|member| member.edges.first().map(|edge| (member, edge)));
    if let Some((member, edge)) = tie {
        let why: Vec<_> = edge
            .evidence
            .iter()
            .map(|evidence| evidence.why.as_str())
            .collect();
        line(
            "together",
            &format!(
                "{} ({}) with {}: {}",
                member.name,
                member.service,
                edge.with_name,
                why.join("; ")
            ),
        );
    }
    let parts: Vec<_> = incident
        .priority
        .parts
        .iter()
        .map(|part| format!("{} {:+.0}", part.name, part.points))
        .collect();
    line(
        "priority",
        &format!("{:.0} = {}", incident.priority.score, parts.join(" ")),
    );
    text
}

/// The end of the story.
pub fn summary(summary: &DemoSummary, paint: Paint) -> String {
    format!(
        "{}\n  records in     {}\n  events in them {}\n  alerts         {}\n  incidents      {} ({} revisions)\n  compression    {:.1} alerts to 1 incident\n  decision       p50 {} µs, p99 {} µs from records read to decision made",
        paint.with("1", "Summary"),
        summary.records,
        summary.events,
        summary.alerts,
        summary.incidents,
        summary.revisions,
        summary.compression,
        summary.decision_p50_us,
        summary.decision_p99_us,
    )
}
