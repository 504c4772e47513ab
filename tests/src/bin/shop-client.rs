//! The client of [`stories::load`] for stories inside namespaces: `shop-client PORT STOP OLD NEW` asks until the file STOP
//! is there, then prints `SENT FAILED REASONS…`, and after `overlap` how many milliseconds both versions answered, after `rate` how
//! many requests it sent a second.
#![expect(clippy::print_stdout, reason = "a client acts on the world and tells")]

use std::path::Path;
use std::process::ExitCode;

use stories::load::Load;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [port, stop, old, new] = arguments.as_slice() else { return ExitCode::from(2) };
    let load = Load::on(port.parse().expect("a port"));
    while !Path::new(stop).exists() && load.is_asking() {
        load.for_requests(1);
    }
    let tally = load.stop();
    let reasons: Vec<String> = tally.failed.iter().map(|(reason, count)| format!("{reason} x {count}")).collect();
    let overlap = tally.overlap(old, new).unwrap_or_default().as_millis();
    println!("{} {} {}", tally.sent, tally.failures(), reasons.join(", "));
    println!("{old} {} {new} {} overlap {overlap} rate {:.0}", tally.saw(old), tally.saw(new), tally.rate());
    ExitCode::SUCCESS
}
