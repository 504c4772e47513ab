//! Replacing a link.

use anyhow::Result;

use super::measured;
use crate::measure::prepare;
use crate::row::{Group, Measured, Row, Setting};

pub(super) const GROUP: Group = Group {
    name: "switching",
    title: "Switching",
    about: "Ten switches in a row between two releases. Ours takes the lock, checks the release, writes the history and \
            waits for the disk twice.",
    measure,
    why: &[
        (
            "a switch, durable, ten times",
            "Each of ours waits for the disk twice, for the history and for the directory, which is what a rollback after a \
             power cut needs; `sync .` waits once and starts three programs. On a disk that others keep busy the waits \
             are most of both.",
        ),
        (
            "a switch, not durable",
            "The peer does not wait for the disk, and keeps no history that a rollback could read.",
        ),
    ],
};

fn measure(setting: &Setting<'_>) -> Result<Measured> {
    let bin = setting.tools.display();
    let mk = format!("'{bin}/release-mk' --quiet --root switch --from B/1");
    prepare(
        &setting.place.path,
        &format!("rm -rf switch live; {mk} --name one > /dev/null; {mk} --name two > /dev/null; sync -f ."),
    )?;
    let switch = |to: &str| format!("{{bin}}/release-switch --quiet --root switch --to {to} >/dev/null");
    let ours = format!("for n in 1 2 3 4 5; do {}; {}; done", switch("one"), switch("two"));
    let peer = |to: &str, sync: &str| format!("ln -s switch/releases/{to} {{new}} && mv -T {{new}} live{sync}");
    let loops = |sync: &str| format!("for n in 1 2 3 4 5; do {}; {}; done", peer("one", sync), peer("two", sync));
    let rows = [
        Row::new("a switch, durable, ten times", ours.clone(), "ln -s; mv -T; sync .", loops(" && sync .")).bar(0.60),
        Row::new("a switch, not durable", ours, "ln -s; mv -T", loops("")),
    ];
    let measured = measured(setting, &rows, 15, Vec::new());
    prepare(&setting.place.path, "rm -rf switch live")?;
    measured
}
