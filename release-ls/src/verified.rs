//! What came of comparing releases with their listings, as it is printed. Writes to stdout only.

use anyhow::bail;
use record::sections::{LsDifference, LsVerified};
use record::{Exit, Failure, visible};
use store::{Inventory, ReleaseId, Root};

use crate::cli::{Form, Request};
use crate::out::Out;
use crate::show::{json, remark};
use crate::{listed, missing, text, verify};

/// What was not as it should be, in all roots.
#[derive(Default)]
pub(crate) struct Different {
    changed: Vec<String>,
    missing: Vec<String>,
}

impl Different {
    /// Verifies one release or all of a root, and takes down which ones differ.
    pub(crate) fn show(
        &mut self,
        request: &Request,
        root: &Root,
        inventory: &Inventory,
        id: Option<&ReleaseId>,
        out: &mut Out,
    ) -> anyhow::Result<()> {
        let mut links = missing::dangling(root, inventory, request.link.as_ref())?;
        links.retain(|link| id.is_none_or(|id| link.release.as_ref() == Some(id)));
        let mut gone = missing::find(root, inventory, &links)?;
        gone.retain(|answer| id.is_none_or(|id| answer.id == id.as_str()));
        let chosen: Vec<_> =
            inventory.releases.iter().filter(|manifest| id.is_none_or(|id| manifest.id == *id)).collect();
        if let (true, true, Some(id)) = (chosen.is_empty(), gone.is_empty(), id) {
            let root = root.path().display();
            bail!(
                Failure::new(Exit::NoCandidate, "ls.no_release", format!("there is no release {id} in {root}"))
                    .hint(format!("release-ls {root} lists releases"))
            );
        }
        for link in &links {
            remark(request, &listed::dangling(inventory, link));
        }
        for answer in gone {
            print(request, &answer, out)?;
            self.missing.push(answer.id);
        }
        for manifest in chosen {
            let answer = verify::verify(root, manifest)?;
            print(request, &answer, out)?;
            if !answer.ok {
                self.changed.push(answer.id);
            }
        }
        let is_told = |id: &str| self.missing.iter().chain(&self.changed).any(|told| told == id);
        links.retain(|link| !link.release.as_ref().is_some_and(|id| is_told(id.as_str())));
        self.missing.extend(links.iter().map(|link| format!("what the link {} leads to", link.name)));
        Ok(())
    }

    /// Fails where anything differs.
    pub(crate) fn refuse(&self) -> anyhow::Result<()> {
        let told = [("no longer what it was", &self.changed), ("missing", &self.missing)];
        let told = told.into_iter().filter(|(_, names)| !names.is_empty());
        let told: Vec<String> = told.map(|(what, names)| format!("{what}: {}", names.join(", "))).collect();
        if told.is_empty() {
            return Ok(());
        }
        let hint = match self.missing.is_empty() {
            true => "switch to another release, and build this one again; release-ls --verify ID says what differs",
            false => "put back what is missing, or switch to another release, and build this one again",
        };
        bail!(Failure::new(Exit::Failed, "ls.differs", told.join("; ")).hint(hint))
    }
}

fn print(request: &Request, answer: &LsVerified, out: &mut Out) -> anyhow::Result<()> {
    match request.form {
        Form::Json => json(std::slice::from_ref(answer), out)?,
        Form::Table => out.lines(lines(answer)),
    }
    // Each takes its time, and whoever watches wants to see it.
    out.flush();
    Ok(())
}

fn lines(answer: &LsVerified) -> Vec<String> {
    let (size, took) = (text::size(answer.hashed_bytes), text::seconds(answer.elapsed_ms));
    let head = match answer.differences.as_slice() {
        _ if answer.ok => {
            let entries = record::counted(answer.files, "entry", "entries");
            format!("ok       {}  {entries}, {size} hashed in {took}", answer.id)
        }
        [LsDifference { path, what, detail: Some(detail) }] if path.is_empty() && what == "missing" => {
            return vec![visible(&format!("MISSING  {}  {detail}", answer.id))];
        }
        differences => {
            let places = record::counted(differences.len() as u64, "place", "places");
            format!("DIFFERS  {}  in {places}", answer.id)
        }
    };
    let one = |d: &LsDifference| {
        let path = if d.path.is_empty() { "(the release)" } else { &d.path };
        let detail = d.detail.as_ref().map_or_else(String::new, |detail| format!(": {detail}"));
        visible(&format!("  {:10} {path}{detail}", d.what))
    };
    std::iter::once(head).chain(answer.differences.iter().map(one)).collect()
}
