//! Warnings about what can never run: routes behind others, actions behind an end, sections nobody names.

use std::collections::BTreeSet;

use super::{Context, Route, Step};
use crate::document::{Document, Fault};

pub(super) fn warn(context: &Context, document: &Document, faults: &mut Vec<Fault>) {
    let routes = document
        .root()
        .entry("route")
        .map(|entry| entry.node.items().len())
        .unwrap_or(0);
    for at in 0..routes {
        let pointer = format!("/route/{at}");
        let line = document.line_of(&pointer);
        let here = |route: &&std::sync::Arc<Route>| {
            &*route.place.file == document.name() && route.place.line == line
        };
        let Some(index) = context.routes.iter().position(|route| here(&route)) else {
            continue;
        };
        let (before, from_here) = context.routes.split_at(index);
        let Some(route) = from_here.first() else {
            continue;
        };
        if let Some(earlier) = before.iter().find(|earlier| covers(earlier, route)) {
            let message = format!(
                "this route is never reached: `{}` ({}) takes its calls first",
                earlier.name, earlier.place
            );
            faults.push(document.warning(&pointer, message));
        }
        behind_an_end(document, &format!("{pointer}/do"), &route.steps, faults);
        behind_an_end(
            document,
            &format!("{pointer}/else"),
            route.otherwise.as_deref().unwrap_or_default(),
            faults,
        );
    }
    sections(context, document, faults);
}

fn sections(context: &Context, document: &Document, faults: &mut Vec<Fault>) {
    let named = named_sections(context);
    let Some(sections) = document.root().entry("section") else {
        return;
    };
    for entry in sections.node.entries() {
        let pointer = format!("/section/{}", entry.key);
        if let Some(steps) = context.sections.get(&entry.key) {
            behind_an_end(document, &format!("{pointer}/do"), steps, faults);
        }
        if !named.contains(entry.key.as_str()) {
            faults.push(
                document.warning(&pointer, format!("nothing goes to section `{}`", entry.key)),
            );
        }
    }
}

/// True when every call that matches `later` is taken by `earlier`.
fn covers(earlier: &Route, later: &Route) -> bool {
    if earlier.goes_on || (earlier.when.schedule.is_some() && earlier.otherwise.is_none()) {
        return false;
    }
    if earlier.when.is_always() {
        return true;
    }
    match (earlier.when.only_numbers(), later.when.number.as_slice()) {
        (Some(taken), [_, ..]) => later
            .when
            .number
            .iter()
            .all(|number| taken.contains(number)),
        (Some(_) | None, _) => false,
    }
}

fn behind_an_end(document: &Document, pointer: &str, steps: &[Step], faults: &mut Vec<Fault>) {
    let end = steps.iter().position(|step| step.action.outline().ends);
    let Some(end) = end.filter(|end| end + 1 < steps.len()) else {
        return;
    };
    let message = "actions from here on never run: the one before ends the list";
    faults.push(document.warning(&format!("{pointer}/{}", end + 1), message));
}

fn named_sections(context: &Context) -> BTreeSet<String> {
    let routes = context.routes.iter().flat_map(|route| {
        let otherwise = route.otherwise.iter().flat_map(|steps| steps.iter());
        route.steps.iter().chain(otherwise)
    });
    let sections = context.sections.values().flat_map(|steps| steps.iter());
    let steps = routes.chain(sections);
    let names = steps.flat_map(|step| {
        let outline = step.action.outline();
        outline
            .sections
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<String>>()
    });
    names.collect()
}
