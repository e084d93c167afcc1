//! Figures as a Markdown table.

use crate::measure::say;

/// One line of the table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    /// What the topic held.
    pub(crate) load: &'static str,
    /// Rules; 0 where there are none.
    pub(crate) rules: usize,
    /// Who read it.
    pub(crate) who: String,
    /// CPU-seconds per million samples.
    pub(crate) cost: f64,
    /// The bare loop's cost over this one.
    pub(crate) of_bare: Option<f64>,
    /// Megabytes in memory.
    pub(crate) resident_mb: Option<u64>,
    /// What was found.
    pub(crate) results: String,
}

/// Rows in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<Row>);

impl Table {
    /// Adds a row.
    pub(crate) fn add(&mut self, row: Row) {
        self.0.push(row);
    }

    /// Prints it.
    pub(crate) fn print(&self) {
        say("");
        say(
            "| load | rules | | samples per CPU-second | CPU-s per million | of the bare loop | memory | results |",
        );
        say("|---|---|---|---|---|---|---|---|");
        self.0.iter().for_each(|row| say(&row.line()));
    }
}

impl Row {
    fn line(&self) -> String {
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
        format!(
            "| {} | {} | {} | {} | {:.3} | {} | {} | {} |",
            self.load,
            or_none((self.rules > 0).then(|| self.rules.to_string())),
            self.who,
            thousands(1e6 / self.cost),
            self.cost,
            or_none(self.of_bare.map(|share| format!("{share:.2}"))),
            or_none(self.resident_mb.map(|mb| format!("{mb} MB"))),
            if self.results.is_empty() {
                "–"
            } else {
                &self.results
            },
        )
    }
}

/// `1.23 M` or `45 k`.
fn thousands(figure: f64) -> String {
    if figure >= 1e6 {
        format!("{:.2} M", figure / 1e6)
    } else {
        format!("{:.0} k", figure / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_a_line() {
        let row = Row {
            load: "json",
            rules: 10,
            who: "Foghorn".to_owned(),
            cost: 0.5,
            of_bare: Some(0.72),
            ..Row::default()
        };
        assert_eq!(
            row.line(),
            "| json | 10 | Foghorn | 2.00 M | 0.500 | 0.72 | – | – |"
        );
        assert_eq!(thousands(133_300.0), "133 k");
    }
}
