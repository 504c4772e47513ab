//! Links of ours that lead to no release any more: what is live is unclear then.

use store::Root;
use store::inventory::Inventory;
use store::link::{self, Standing};

/// What to say of the first link that named a release once and names none now. One that is gone while others lead to
/// releases was given up.
pub(crate) fn first(root: &Root, inventory: &Inventory) -> anyhow::Result<Option<String>> {
    let history = &inventory.history;
    let something_is_live = inventory.links.iter().any(|link| link.release.is_some());
    for name in history.links() {
        let Some(was) = history.last_live(name) else { continue };
        let what = match link::read(root, name)? {
            Standing::Missing if !something_is_live => format!("the link {name} is missing"),
            Standing::Obstructed(_) => format!("{name} is no link"),
            Standing::Link(link) if link.release.is_none() => {
                format!("the link {name} leads to {}, which is no release of this root", link.target.display())
            }
            Standing::Missing | Standing::Link(_) => continue,
        };
        return Ok(Some(format!("{what}; {was} was live")));
    }
    Ok(None)
}
