//! `pidfile:PATH`: does the process that the file names live, and is it the one that was meant?
//!
//! A pid file outlives its process, and the number comes to mean another one. A process that began after the file was
//! written is such a one.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;

use super::Probe;
use super::net::plain;
use super::release::Owner;
use crate::engine::{Attempt, Io};
use crate::verdict::Answer;

/// The kernel tells its own start in whole seconds, and a program may write its file through a copy.
const SLACK: Duration = Duration::from_secs(3);
const FILE_MOST: u64 = 4096;

/// Reads the file and looks for the process.
#[derive(Debug)]
pub(crate) struct Pidfile {
    pub(crate) path: PathBuf,
    pub(crate) owner: Option<Owner>,
}

impl Probe for Pidfile {
    fn attempt(&self, _io: Rc<Io>) -> Attempt<'_> {
        Box::pin(async move { self.ask().err().unwrap_or(Answer::Pass) })
    }
}

impl Pidfile {
    fn ask(&self) -> Result<(), Answer> {
        let (text, written) = self.read().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Answer::NotYet("no pid file".into()),
            io::ErrorKind::PermissionDenied => Answer::CannotTell("no permission to read the pid file".into()),
            _ => Answer::Fail(format!("read the pid file: {}", plain(&error))),
        })?;
        let pid = number_in(&text).map_err(Answer::Fail)?;
        let process = process::stat(pid).map_err(|error| Answer::CannotTell(format!("{error:#}")))?;
        let Some(process) = process.filter(|process| !process.has_ended()) else {
            return Err(Answer::Fail(format!("process {pid} of the pid file has ended")));
        };
        if began_at(process.start_time).is_some_and(|began| began > written + SLACK) {
            let command = process.command;
            return Err(Answer::Fail(format!(
                "process {pid} ({command}) began after the pid file was written: another program"
            )));
        }
        self.owner.as_ref().map_or(Ok(()), |owner| owner.of_pid(pid))
    }

    fn read(&self) -> io::Result<(String, SystemTime)> {
        // What is no file, as a fifo, must not hold us up.
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(&self.path)?;
        let written = file.metadata()?.modified()?;
        Ok((text_of(file)?, written))
    }
}

fn text_of(file: File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.take(FILE_MOST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The number on the first line; some programs write more below it.
fn number_in(text: &str) -> Result<u32, String> {
    match text.lines().next().unwrap_or_default().trim() {
        "" => Err("the pid file is empty".into()),
        line => match line.parse() {
            Ok(pid @ 1..=0x7fff_ffff) => Ok(pid),
            _ => Err("the pid file holds no process number".into()),
        },
    }
}

/// When a process began, from its ticks since the machine was started.
fn began_at(ticks: u64) -> Option<SystemTime> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let boot: u64 = stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    let since_boot = ticks.checked_div(rustix::param::clock_ticks_per_second())?;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(boot + since_boot))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_a_number_or_it_is_not() {
        for (text, number) in [("812\n", Some(812)), (" 812", Some(812)), ("812\n/var/lib\n5432\n", Some(812))] {
            assert_eq!(number_in(text).ok(), number, "{text:?}");
        }
        for text in ["", "\n812", "0", "-1", "99999999999", "abc", "812 813"] {
            assert!(number_in(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn this_very_process_began_before_now() {
        let own = process::stat(std::process::id()).unwrap().unwrap();
        let began = began_at(own.start_time).unwrap();
        let age = std::fs::metadata("/proc/self").unwrap().modified().unwrap().duration_since(began);
        assert!(age.is_ok_and(|age| age < Duration::from_secs(3600)), "{began:?}");
    }
}
