//! Releases of which only the papers are left, and links that lead to nothing. Reads only.

use std::collections::BTreeSet;

use dir::{Kind, Name};
use record::sections::{LsDifference, LsVerified};
use store::link::{self, LinkState, Standing};
use store::staging::{self, Elsewhere};
use store::{Inventory, Manifest, ReleaseId, Root, manifest};

use crate::listed::is_dangling;

/// The links, or `only` that one, that still lead to nothing now that they are asked again.
pub(crate) fn dangling(root: &Root, inventory: &Inventory, only: Option<&Name>) -> anyhow::Result<Vec<LinkState>> {
    let mut dangling = Vec::new();
    for link in inventory.links.iter().filter(|link| only.is_none_or(|only| link.name == *only)) {
        if is_dangling(inventory, link)
            && let Standing::Link(link) = link::read(root, &link.name)?
            && is_dangling(inventory, &link)
        {
            dangling.push(link);
        }
    }
    Ok(dangling)
}

/// The releases that somebody took away: they have papers, or one of the links names them, and no directory.
pub(crate) fn find(root: &Root, inventory: &Inventory, links: &[LinkState]) -> anyhow::Result<Vec<LsVerified>> {
    let is_there = |id: &&ReleaseId| inventory.release(id).is_some();
    let named: BTreeSet<&ReleaseId> =
        links.iter().filter_map(|link| link.release.as_ref()).filter(|id| !is_there(id)).collect();
    let mut missing = Vec::new();
    for id in inventory.without_tree.iter().chain(named.iter().copied()).collect::<BTreeSet<_>>() {
        let known = manifest::read(root, id);
        let seq = known.as_ref().ok().and_then(Option::as_ref).map(|manifest| manifest.seq);
        // In this order, as a build becomes a release and a release becomes trash while nobody here holds the lock.
        // Whoever may not look claims nothing.
        let is_no_release = !named.contains(id) && staging::elsewhere(root, id, seq)? != Elsewhere::Nothing;
        let standing = root.releases().stat_if_there(id)?.map(|stat| stat.kind());
        let has_papers = || !matches!(manifest::read(root, id), Ok(None));
        if is_no_release || standing == Some(Kind::Directory) || !(named.contains(id) || has_papers()) {
            continue;
        }
        missing.push(one(root, inventory, links, id, known.ok().flatten().as_ref(), standing));
    }
    Ok(missing)
}

fn one(
    root: &Root,
    inventory: &Inventory,
    links: &[LinkState],
    id: &ReleaseId,
    manifest: Option<&Manifest>,
    standing: Option<Kind>,
) -> LsVerified {
    let mut detail = vec![match standing {
        None => format!("there is no releases/{id}"),
        Some(_) => format!("releases/{id} is no directory"),
    }];
    let names_it = |link: &&LinkState| link.release.as_ref() == Some(id);
    detail.extend(links.iter().filter(names_it).map(|link| format!("the link {} names it", link.name)));
    if inventory.pins.get(id).is_some_and(|pin| pin.keeps(record::clock::now())) {
        detail.push("it is pinned".to_owned());
    }
    let difference = LsDifference { path: String::new(), what: "missing".to_owned(), detail: Some(detail.join("; ")) };
    LsVerified {
        root: root.path().display().to_string(),
        id: id.to_string(),
        files: manifest.map_or(0, |manifest| manifest.files),
        differences: vec![difference],
        ..LsVerified::default()
    }
}
