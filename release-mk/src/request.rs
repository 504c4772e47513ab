//! What is asked for, as the command line says it.

use std::path::PathBuf;
use std::time::Duration;

use store::ReleaseId;

use crate::content::Sha;
use crate::source::archive::Limits;
use crate::source::survey::Closeness;

/// What is asked for, checked as far as the command line alone can be.
#[derive(Debug)]
pub(crate) struct Request {
    /// The source as it was given.
    pub(crate) from: PathBuf,
    /// The branch, tag or commit of a git repository.
    pub(crate) reference: Option<String>,
    /// Whether its submodules are fetched and unpacked too.
    pub(crate) submodules: bool,
    /// The id that was asked for.
    pub(crate) name: Option<ReleaseId>,
    /// Patterns of what stays behind.
    pub(crate) exclude: Vec<String>,
    /// Commands that run in the tree, in order.
    pub(crate) steps: Vec<Step>,
    /// Patterns of what alone is kept of what was built.
    pub(crate) artifact: Vec<String>,
    /// The unfinished build to take up again.
    pub(crate) resume: Option<ReleaseId>,
    /// Whether to build only what is not live already.
    pub(crate) if_changed: bool,
    /// Whether to build although the same source made a bad release, or the live one.
    pub(crate) force: bool,
    /// Whether a source that made a bad release is passed over without failing.
    pub(crate) skip_bad: bool,
    /// What is linked to `shared/`.
    pub(crate) share: Vec<Share>,
    /// The mode of directories made in `shared/`.
    pub(crate) share_mode: u32,
    /// Their owner, `USER[:GROUP]`.
    pub(crate) share_owner: Option<String>,
    /// What must be configured.
    pub(crate) require_env: Vec<RequiredVariables>,
    /// The pin the release gets.
    pub(crate) hold: Option<Hold>,
    /// The file that tells id and source.
    pub(crate) stamp: Option<PathBuf>,
    /// Whether files that are as in the live release become links to it.
    pub(crate) link_unchanged: bool,
    /// Bytes that must stay free.
    pub(crate) min_free: u64,
    /// The digest the archive or file must have.
    pub(crate) sha256: Option<Sha>,
    /// How much an archive may unpack to.
    pub(crate) limits: Limits,
}

impl Request {
    /// How closely a directory is looked at before anything is written. Each look at a file is a part of the work of copying
    /// it, so files are looked at only where their sizes matter: for a limit, or where the room of the disk may not do
    /// (`room_is_plenty`), or where a build that is refused late would leave more behind than before (`makes_more`): a root, or
    /// directories in `shared/`. Where most of it will be links to what is live (`links`), even names would be a large part.
    /// What a closer look would have refused is then met by the copy.
    pub(crate) fn closeness(&self, makes_more: bool, links: bool, room_is_plenty: bool) -> Option<Closeness> {
        if makes_more || self.limits.bytes.is_some() {
            Some(Closeness::Files)
        } else if links {
            self.limits.files.map(|_| Closeness::Names)
        } else if room_is_plenty {
            Some(Closeness::Names)
        } else {
            Some(Closeness::Files)
        }
    }
}

/// One path of the release that links into `shared/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Share {
    /// Within the release, and below `shared/`.
    pub(crate) path: PathBuf,
    /// A directory, made if missing; else a file that must exist.
    pub(crate) directory: bool,
}

/// A command that is part of the build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// What the record calls it.
    pub(crate) name: String,
    /// For `/bin/sh -c`; never recorded.
    pub(crate) command: String,
}

/// Variables that a file must set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequiredVariables {
    /// Relative to the root, or absolute.
    pub(crate) file: PathBuf,
    /// Their names.
    pub(crate) names: Vec<String>,
}

/// The pin of a release that is kept for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hold {
    /// From now on.
    pub(crate) period: Duration,
    /// Why.
    pub(crate) reason: String,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A request for nothing special.
    pub(crate) fn request() -> Request {
        Request {
            from: "build".into(),
            reference: None,
            submodules: false,
            steps: Vec::new(),
            artifact: Vec::new(),
            resume: None,
            if_changed: false,
            force: false,
            skip_bad: false,
            name: None,
            exclude: Vec::new(),
            share: Vec::new(),
            share_mode: 0o755,
            share_owner: None,
            require_env: Vec::new(),
            hold: None,
            stamp: None,
            link_unchanged: false,
            min_free: 0,
            sha256: None,
            limits: Limits { bytes: None, files: None, external_symlinks: false },
        }
    }

    #[test]
    fn files_are_looked_at_beforehand_only_where_their_sizes_matter() {
        let limited = |bytes, files| {
            let limits = Limits { bytes, files, external_symlinks: false };
            Request { limits, ..request() }
        };
        let [neither, bytes, files] = [limited(None, None), limited(Some(1), None), limited(None, Some(1))];
        for (request, makes_more, links, room_is_plenty, closeness) in [
            (&neither, false, false, false, Some(Closeness::Files)),
            (&neither, false, false, true, Some(Closeness::Names)),
            (&neither, true, false, true, Some(Closeness::Files)),
            (&neither, true, true, true, Some(Closeness::Files)),
            (&neither, false, true, false, None),
            (&bytes, false, true, true, Some(Closeness::Files)),
            (&files, false, true, false, Some(Closeness::Names)),
            (&files, false, false, false, Some(Closeness::Files)),
        ] {
            assert_eq!(request.closeness(makes_more, links, room_is_plenty), closeness, "{:?} {links}", request.limits);
        }
    }
}
