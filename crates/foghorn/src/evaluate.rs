//! `foghorn evaluate`: quality on data sets.

use foghorn_lab::anomalies;

use crate::args::{Evaluate, EvaluateArgs, Output};
use crate::out::{Failure, say};

pub(crate) fn run(args: &EvaluateArgs) -> Result<(), Failure> {
    let Evaluate::Anomalies { data, out, output } = &args.what;
    let summary = anomalies::evaluate_dir(data, out)?;
    match output {
        Output::Text => say(&format!(
            "{} files, {} rows scored, {} unreadable values; results in {}",
            summary.files,
            summary.rows,
            summary.unreadable_values,
            out.display()
        )),
        Output::Json => say(&serde_json::to_string(&summary)?),
    }
    Ok(())
}
