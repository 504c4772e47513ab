//! Asking services.

use anyhow::Result;

use super::measured;
use crate::row::{Group, Measured, Row, Setting};
use crate::server;

pub(super) const GROUP: Group = Group {
    name: "asking",
    title: "Asking",
    about: "Over HTTP on this machine; the service is part of the benchmark and answers at once. A single probe is measured \
            fifty at a time, start of the program included.",
    measure,
    why: &[(
        "one target",
        "Half of it is starting the program, by the rows below. The rest is a connection and a record of what was found, \
         most of it pages of the program and of memory that are touched for the first time.",
    )],
};

fn measure(setting: &Setting<'_>) -> Result<Measured> {
    let address = server::start()?;
    let mut rows = vec![
        Row::new(
            "one target",
            format!("{{bin}}/svc-health -n --quiet http://{address}/healthz"),
            "curl -s",
            format!("curl -s -o /dev/null http://{address}/healthz"),
        )
        .repeat(50)
        .bar(0.10),
    ];
    for (count, repeat) in [(10, 20), (100, 5), (1000, 2)] {
        let targets: String = (1..=count).map(|n| format!(" http://{address}/{n}")).collect();
        let outputs: String = (1..=count).map(|n| format!(" -o /dev/null http://{address}/{n}")).collect();
        let row = Row::new(
            format!("{count} targets"),
            format!("{{bin}}/svc-health -n --quiet --parallel 32{targets}"),
            "curl --parallel",
            format!("curl -s --parallel --parallel-max 32{outputs}"),
        );
        rows.push(row.repeat(repeat).bar(0.75));
    }
    measured(setting, &rows, 15, Vec::new())
}
