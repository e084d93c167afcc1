//! The front door: arguments, configuration, exit codes. Everything else is behind it.

mod args;
mod check;
mod config;
mod demo;
mod evaluate;
mod logging;
mod out;
mod receive;
mod replay;
mod rule_files;
mod run;
mod running;
mod sample;
mod serving;
mod standby;
mod test;
mod web;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Verb};
use crate::out::Failure;

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match args.verb {
        Verb::Run(run) => run::run(&run),
        Verb::Demo(demo) => demo::run(&demo),
        Verb::Check(check) => check::run(&check),
        Verb::Replay(replay) => replay::run(&replay),
        Verb::Test(test) => test::run(&test),
        Verb::Source(source) => sample::run(&source),
        Verb::Evaluate(evaluate) => evaluate::run(&evaluate),
        Verb::Completions { shell } => args::completions(shell),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Told) => ExitCode::from(1),
        Err(Failure::Usage(why)) => {
            out::complain(&why);
            ExitCode::from(2)
        }
        Err(Failure::Other(error)) => {
            out::complain(&out::reasons(&error));
            ExitCode::from(1)
        }
    }
}
