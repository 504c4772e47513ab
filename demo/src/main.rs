//! The service, the balancer and the client of `make demo`, in one small program that is never installed.
//!
//! Nothing here knows cutover: it is what the tools act on. It speaks just enough HTTP for that, one request per
//! connection, on loopback only.

mod ask;
mod balance;
mod http;
mod ports;
mod serve;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(version, about = "The demo's shop, its balancer and its customer")]
struct Cli {
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand)]
enum Part {
    /// Serves the release it was started in (its working directory) until SIGTERM.
    Serve {
        /// Port on 127.0.0.1.
        #[arg(long)]
        port: u16,
        /// Written once the port listens, removed at the end.
        #[arg(long)]
        pidfile: PathBuf,
    },
    /// Shares requests among the instances that are in, in turn.
    Balance {
        /// Port on 127.0.0.1.
        #[arg(long)]
        port: u16,
        /// Unix socket on which `tell` reaches it.
        #[arg(long)]
        control: PathBuf,
        /// One instance, out at first; repeatable.
        #[arg(long = "instance", value_name = "NAME=PORT", value_parser = balance::instance)]
        instances: Vec<(String, u16)>,
    },
    /// Takes an instance out of the balancer, waiting until its last request is answered, or back in.
    Tell {
        /// The balancer's control socket.
        #[arg(long)]
        control: PathBuf,
        /// Out or in.
        word: balance::Word,
        /// The instance.
        name: String,
    },
    /// Asks all the time, each time on a fresh connection, and counts every failure, until SIGTERM.
    Ask {
        /// Port on 127.0.0.1.
        #[arg(long)]
        port: u16,
        /// Holds the counts at every moment: sent, failed, and answers by release.
        #[arg(long)]
        counts: PathBuf,
    },
    /// Prints the first digits of so many free ports, which end in 0, 1 and so on.
    Ports {
        /// How many.
        #[arg(value_parser = clap::value_parser!(u16).range(1..=10))]
        count: u16,
    },
}

fn main() -> ExitCode {
    let result = match Cli::parse().part {
        Part::Serve { port, pidfile } => serve::serve(port, &pidfile),
        Part::Balance { port, control, instances } => balance::balance(port, &control, instances),
        Part::Tell { control, word, name } => balance::tell(&control, word, &name),
        Part::Ask { port, counts } => ask::ask(port, &counts),
        Part::Ports { count } => ports::print(count),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            http::complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
