//! `foghorn demo`: the story on a terminal.

use std::io::IsTerminal;
use std::time::Duration;

use foghorn_correlate::{Topology, TopologyFile};
use foghorn_lab::demo::{DemoOptions, SERVICES, Told, story};
use foghorn_lab::{Demo, replay};
use indicatif::{ProgressBar, ProgressStyle};

use crate::args::{DemoArgs, Output};
use crate::out::{Failure, colours, complain, say};

pub(crate) fn run(args: &DemoArgs) -> Result<(), Failure> {
    if !(0.0..=3_600.0).contains(&args.takes) {
        return Err(Failure::Usage(format!(
            "--takes {}: a number of seconds from 0 to 3600",
            args.takes
        )));
    }
    let services: TopologyFile = serde_saphyr::from_str(SERVICES)?;
    let demo = Demo::new(Topology::new(&services))?;
    let view = demo.view();
    let api = if args.serve {
        Some(crate::serving::api_of_view(&args.listen, &view)?)
    } else {
        None
    };
    let json = args.output == Output::Json;
    let paint = story::Paint(colours(&std::io::stdout()));
    let bar = progress(json);
    if !json {
        say("A shop of 13 services; 58 minutes of its life are told in a few seconds.\n");
    }
    let summary = demo.run(
        DemoOptions {
            takes: Duration::from_secs_f64(args.takes),
        },
        |told| match &told {
            Told::Progress(at, share) => {
                bar.set_position((share * 1_000.0) as u64);
                bar.set_message(story::clock(*at));
            }
            Told::Incident(incident) if json => say(replay::line(incident).trim_end()),
            _ if json => {}
            told => {
                if let Some(text) = story::text(told, paint) {
                    bar.suspend(|| say(&text));
                }
            }
        },
    );
    bar.finish_and_clear();
    if json {
        complain(&serde_json::to_string(&summary)?);
    } else {
        say(&format!("\n{}", story::summary(&summary, paint)));
    }
    if let Some(api) = api {
        complain(&format!(
            "\nThe API is up: http://{}/api/v1/incidents (Ctrl-C ends it)",
            api.address()
        ));
        api.wait_for_signal();
    }
    Ok(())
}

fn progress(json: bool) -> ProgressBar {
    if json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(1_000);
    if let Ok(style) = ProgressStyle::with_template("{msg} {bar:50} event time, compressed") {
        bar.set_style(style);
    }
    bar
}
