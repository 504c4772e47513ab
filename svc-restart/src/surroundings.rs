//! What gates and hooks are told: the root and the release they are about.

use std::path::PathBuf;

use anyhow::Result;
use process::command::Spec;
use record::Pipe;

use crate::instance::Instance;

/// The variables of gates and hooks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Surroundings {
    /// CUTOVER_ROOT.
    pub(crate) root: Option<PathBuf>,
    /// CUTOVER_RELEASE.
    pub(crate) release: Option<String>,
    /// CUTOVER_RELEASE_PATH.
    pub(crate) release_path: Option<PathBuf>,
}

impl Surroundings {
    /// The record's release; in an undo, and where no record says, the one that the link names now.
    pub(crate) fn of(pipe: &Pipe) -> Result<Self> {
        let root = pipe.root_path_if_any()?;
        let recorded = pipe.record().release.as_ref().filter(|_| !pipe.undoing());
        if let Some(release) = recorded {
            let computed = root.as_ref().map(|root| root.join("releases").join(&release.id));
            let release_path = computed.or_else(|| release.path.as_ref().map(PathBuf::from));
            return Ok(Self { root, release: Some(release.id.clone()), release_path });
        }
        let Some(root) = root else { return Ok(Self::default()) };
        let link = pipe.link()?;
        let target = std::fs::read_link(root.join(link.as_str())).ok();
        let release = target.and_then(|target| release_of(&root, &target));
        let release_path = release.as_ref().map(|id| root.join("releases").join(id));
        Ok(Self { root: Some(root), release, release_path })
    }

    /// Puts them into the environment of a command, beside the instance it is about.
    pub(crate) fn put(&self, mut spec: Spec, instance: Option<&Instance>) -> Spec {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.clone().into_os_string());
        for (name, value) in [
            ("CUTOVER_ROOT", path(&self.root)),
            ("CUTOVER_RELEASE", self.release.as_ref().map(Into::into)),
            ("CUTOVER_RELEASE_PATH", path(&self.release_path)),
            ("CUTOVER_INSTANCE", instance.map(|instance| instance.as_str().into())),
        ] {
            // What an outer pipe set must not be taken for this one's.
            spec = match value {
                Some(value) => spec.env(name, value),
                None => spec.env_remove(name),
            };
        }
        spec
    }
}

/// The release that a link's text names: `releases/ID`, `ROOT/releases/ID` or something in it.
fn release_of(root: &std::path::Path, target: &std::path::Path) -> Option<String> {
    let inside = target.strip_prefix(root).unwrap_or(target).strip_prefix("releases").ok()?;
    match inside.components().next()? {
        std::path::Component::Normal(id) => id.to_str().map(str::to_owned),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_release_a_link_names() {
        let root = Path::new("/srv/shop");
        for (target, id) in [
            ("releases/a-1", Some("a-1")),
            ("releases/a-1/app.jar", Some("a-1")),
            ("/srv/shop/releases/a-1", Some("a-1")),
            ("/elsewhere/releases/a-1", None),
            ("releases/..", None),
            ("releases", None),
            ("shared", None),
        ] {
            assert_eq!(release_of(root, Path::new(target)).as_deref(), id, "{target}");
        }
    }
}
