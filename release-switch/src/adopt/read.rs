//! What another tool left under the root. Writes nothing.

use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::bail;
use dir::{Dir, Kind, Name};
use record::{Exit, Failure, RootDir};
use store::ReleaseId;

use super::logs;
use super::plan::{Directory, Layout, Owner};

/// No log is longer.
const LONGEST: u64 = 64 << 20;

/// Reads the layout; a root without `releases/` is refused.
pub(crate) fn layout(root: &RootDir, link: &Name) -> anyhow::Result<Layout> {
    let releases = match root.dir().open_dir("releases") {
        Err(e) if e.is_not_found() => bail!(
            Failure::new(
                Exit::NoCandidate,
                "adopt.nothing",
                format!("{} has no releases/: there is nothing to take over", root.path().display())
            )
            .hint("name the directory that holds releases/ and the link with --root")
        ),
        opened => opened?,
    };
    let manifests = root.dir().open_dir(".cutover").and_then(|state| state.open_dir("manifests")).ok();
    let mut layout = Layout::default();
    let live = nix::sys::stat::stat(&root.path().join(link)).ok().map(|stat| dir::Stat(stat).identity());
    for name in releases.names()? {
        let id = ReleaseId::of_entry(&name);
        let is_directory = releases.stat(&name)?.kind() == Kind::Directory;
        let Some(id) = id.filter(|_| is_directory) else {
            layout.strangers.push(name.to_string_lossy().into_owned());
            continue;
        };
        let ours = manifests.as_ref().is_some_and(|dir| matches!(dir.stat_if_there(format!("{id}.json")), Ok(Some(_))));
        let opened = releases.open_dir(&id)?;
        if live.is_some() && live == Some(opened.own_stat()?.identity()) {
            layout.live = Some(id.clone());
        }
        layout.releases.push(directory(&opened, id, ours)?);
    }
    read_log(root.dir(), &mut layout)?;
    Ok(layout)
}

fn directory(tree: &Dir, id: ReleaseId, ours: bool) -> anyhow::Result<Directory> {
    let modified = tree.own_stat()?.0.st_mtime;
    let mut keep_until = Vec::new();
    for name in tree.names()? {
        let Some(name) = name.to_str() else { continue };
        keep_until.extend(logs::keep_until(name).map(|until| until.map_err(|()| name.to_owned())));
    }
    Ok(Directory {
        id,
        modified: SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(modified).unwrap_or(0)),
        revision: text(tree, "REVISION")?.as_deref().and_then(logs::revision),
        bad: tree.stat_if_there("BAD_RELEASE")?.is_some(),
        keep_until,
        ours,
    })
}

/// The first log that is there says whose layout it is.
fn read_log(root: &Dir, layout: &mut Layout) -> anyhow::Result<()> {
    let state = root.open_dir(".dep").ok();
    let in_state = |name: &str| state.as_ref().map_or(Ok(None), |dir| text(dir, name));
    let (owner, log) = if let Some(log) = text(root, "revisions.log")? {
        (Some(Owner::Capistrano), logs::revisions_log(&log))
    } else if let Some(log) = in_state("releases_log")? {
        (Some(Owner::Deployer), logs::releases_log(&log))
    } else if let Some(log) = in_state("releases")? {
        (Some(Owner::Deployer), logs::releases_csv(&log))
    } else if let Some(log) = text(root, "RELEASES.txt")? {
        (Some(Owner::Commcare), logs::releases_txt(&log))
    } else if layout.releases.iter().any(|release| !release.keep_until.is_empty()) {
        (Some(Owner::Commcare), Vec::new())
    } else {
        (None, Vec::new())
    };
    layout.owner = owner;
    layout.log = log;
    Ok(())
}

/// The text of a regular file; `None` where there is none. What is not UTF-8 in it is replaced.
fn text(dir: &Dir, name: &str) -> anyhow::Result<Option<String>> {
    match dir.stat_if_there(Path::new(name))?.map(|stat| stat.kind()) {
        Some(Kind::File) => Ok(Some(String::from_utf8_lossy(&dir.read_file(name, LONGEST)?).into_owned())),
        _ => Ok(None),
    }
}
