//! From files to [`Dialplans`]: every file is read, every reference followed, every fault kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::file::{ActionFields, File, RouteFields, ScheduleFields, When};
use super::schedule::Hours;
use super::{Condition, Context, Dialplans, Known, Pattern, Place, Route, Schedule, Step};
use super::{action, canonical, file, reach, variables};
use crate::document::{Document, Fault, Shape, SourceFile};

/// One file on its way: what it says and where it says it.
struct Part {
    document: Document,
    file: File,
}

/// Names that the actions of a context may use.
struct Names {
    sections: BTreeSet<String>,
    schedules: BTreeSet<String>,
    variables: BTreeSet<String>,
}

pub(super) fn dialplans(files: &[SourceFile], known: &Known) -> (Option<Dialplans>, Vec<Fault>) {
    let mut faults = Vec::new();
    let shape = file::shape();
    let parts: Vec<Part> = files
        .iter()
        .filter_map(|source| read(source, shape, &mut faults))
        .collect();
    let mut by_context: BTreeMap<String, Vec<Part>> = BTreeMap::new();
    for part in parts {
        by_context
            .entry(canonical(&part.file.context).to_owned())
            .or_default()
            .push(part);
    }
    let mut plans = Dialplans::default();
    for (name, parts) in by_context {
        let context = Compile {
            known,
            faults: &mut faults,
        }
        .context(&name, &parts);
        plans.contexts.insert(name, context);
    }
    let good = !faults.iter().any(Fault::is_error);
    (good.then_some(plans), faults)
}

fn read(source: &SourceFile, shape: &Shape, faults: &mut Vec<Fault>) -> Option<Part> {
    let mut own = Vec::new();
    let document = Document::parse(source.clone(), &mut own);
    let clean = own.is_empty();
    let shaped = shape.check(&document, &mut own);
    faults.append(&mut own);
    let file = if clean && shaped {
        document.read(faults)?
    } else {
        return None;
    };
    Some(Part { document, file })
}

struct Compile<'a> {
    known: &'a Known,
    faults: &'a mut Vec<Fault>,
}

impl Compile<'_> {
    fn context(&mut self, name: &str, parts: &[Part]) -> Context {
        let mut context = Context {
            name: name.to_owned(),
            ..Context::default()
        };
        for part in parts {
            self.schedules(part, &mut context);
            for (at, fields) in part.file.route.iter().enumerate() {
                let route = self.route(part, at, fields);
                context.routes.push(Arc::new(route));
            }
            self.sections(part, &mut context);
        }
        let names = names_of(&context);
        for part in parts {
            self.references(part, &names);
        }
        for part in parts {
            reach::warn(&context, &part.document, self.faults);
        }
        context
    }

    fn schedules(&mut self, part: &Part, context: &mut Context) {
        for (name, fields) in &part.file.schedule {
            let twice = context
                .schedules
                .insert(name.clone(), schedule(fields))
                .is_some();
            if twice {
                self.error(
                    part,
                    &format!("/schedule/{name}"),
                    format!("schedule `{name}` is defined twice"),
                );
            }
        }
    }

    fn sections(&mut self, part: &Part, context: &mut Context) {
        for (name, fields) in &part.file.section {
            let pointer = format!("/section/{name}");
            let steps = self.steps(part, &format!("{pointer}/do"), &fields.r#do);
            if context.sections.insert(name.clone(), steps).is_some() {
                self.error(part, &pointer, format!("section `{name}` is defined twice"));
            }
        }
    }

    fn route(&mut self, part: &Part, at: usize, fields: &RouteFields) -> Route {
        let pointer = format!("/route/{at}");
        let when = fields
            .when
            .as_ref()
            .map(|when| self.condition(part, &format!("{pointer}/when"), when));
        let when = when.unwrap_or_default();
        if fields.r#else.is_some() && when.schedule.is_none() {
            let message = "`else` runs when the schedule is closed, but `when` names no schedule";
            self.error(part, &format!("{pointer}/else"), message.to_owned());
        }
        let otherwise = fields.r#else.as_ref();
        Route {
            name: fields
                .name
                .clone()
                .unwrap_or_else(|| format!("route {}", at + 1)),
            when,
            steps: self.steps(part, &format!("{pointer}/do"), &fields.r#do),
            otherwise: otherwise
                .map(|actions| self.steps(part, &format!("{pointer}/else"), actions)),
            goes_on: fields.r#continue,
            place: place(part, &pointer),
        }
    }

    fn steps(&mut self, part: &Part, pointer: &str, actions: &[ActionFields]) -> Arc<[Step]> {
        let mut steps = Vec::new();
        for (at, fields) in actions.iter().enumerate() {
            let pointer = format!("{pointer}/{at}");
            match action::build(&fields.0) {
                Ok(action) => steps.push(Step {
                    action,
                    place: place(part, &pointer),
                }),
                Err(message) => self.error(part, &pointer, message),
            }
        }
        steps.into()
    }

    fn condition(&mut self, part: &Part, pointer: &str, when: &When) -> Condition {
        self.names(part, pointer, when);
        let many = |list: &Option<file::OneOrMany<String>>| -> Vec<String> {
            list.iter().flat_map(|list| list.list()).cloned().collect()
        };
        let numbers = when.number.iter().flat_map(|list| list.list());
        Condition {
            number: numbers.map(|number| number.0.clone()).collect(),
            to: self.whole(part, pointer, "to", when.to.as_ref()),
            to_contains: when
                .to_contains
                .as_ref()
                .and_then(|text| Pattern::anywhere(&text.0).ok()),
            from: self.whole(part, pointer, "from", when.from.as_ref()),
            trunk: many(&when.trunk),
            profile: many(&when.profile),
            header: self.patterns(part, &format!("{pointer}/header"), &when.header),
            var: self.patterns(part, &format!("{pointer}/var"), &when.var),
            schedule: when.schedule.clone(),
            any: self.list(part, &format!("{pointer}/any"), when.any.as_deref()),
            all: self.list(part, &format!("{pointer}/all"), when.all.as_deref()),
            not: when
                .not
                .as_ref()
                .map(|inner| Box::new(self.condition(part, &format!("{pointer}/not"), inner))),
        }
    }

    fn names(&mut self, part: &Part, pointer: &str, when: &When) {
        let known = self.known;
        for (key, asked, known) in [
            ("trunk", &when.trunk, &known.trunks),
            ("profile", &when.profile, &known.profiles),
        ] {
            let Some(known) = known else { continue };
            let asked = asked.iter().flat_map(|list| list.list());
            for name in asked.filter(|name| !known.contains(name)) {
                let fault = part.document.fault(
                    &format!("{pointer}/{key}"),
                    format!("there is no {key} `{name}`"),
                );
                let there = if known.is_empty() {
                    "none".to_owned()
                } else {
                    known.join(", ")
                };
                self.faults.push(fault.hint(format!("there is: {there}")));
            }
        }
    }

    fn list(&mut self, part: &Part, pointer: &str, list: Option<&[When]>) -> Vec<Condition> {
        if list.is_some_and(<[When]>::is_empty) {
            self.error(
                part,
                pointer,
                "an empty list of conditions decides nothing".to_owned(),
            );
        }
        let list = list.unwrap_or_default().iter().enumerate();
        list.map(|(at, when)| self.condition(part, &format!("{pointer}/{at}"), when))
            .collect()
    }

    fn patterns(
        &mut self,
        part: &Part,
        pointer: &str,
        map: &BTreeMap<String, file::Expression>,
    ) -> Vec<(String, Pattern)> {
        let each = map.iter().filter_map(|(name, text)| {
            let pattern = self.whole(part, pointer, name, Some(text))?;
            Some((name.clone(), pattern))
        });
        each.collect()
    }

    fn whole(
        &mut self,
        part: &Part,
        pointer: &str,
        key: &str,
        text: Option<&file::Expression>,
    ) -> Option<Pattern> {
        match Pattern::whole(&text?.0) {
            Ok(pattern) => Some(pattern),
            Err(complaint) => {
                self.error(part, &format!("{pointer}/{key}"), complaint.message);
                None
            }
        }
    }

    /// Follows every reference of a file's actions and schedules.
    fn references(&mut self, part: &Part, names: &Names) {
        for (at, route) in part.file.route.iter().enumerate() {
            let pointer = format!("/route/{at}");
            if let Some(when) = &route.when {
                self.schedule_names(part, &format!("{pointer}/when"), when, names);
            }
            self.action_references(part, &format!("{pointer}/do"), &route.r#do, names);
            let otherwise = route.r#else.as_deref().unwrap_or_default();
            self.action_references(part, &format!("{pointer}/else"), otherwise, names);
        }
        for (name, section) in &part.file.section {
            self.action_references(part, &format!("/section/{name}/do"), &section.r#do, names);
        }
    }

    fn schedule_names(&mut self, part: &Part, pointer: &str, when: &When, names: &Names) {
        if let Some(name) = when
            .schedule
            .as_ref()
            .filter(|name| !names.schedules.contains(*name))
        {
            let message = format!("there is no schedule `{name}` in this context");
            self.error(part, &format!("{pointer}/schedule"), message);
        }
        for (key, list) in [("any", &when.any), ("all", &when.all)] {
            for (at, inner) in list.iter().flatten().enumerate() {
                self.schedule_names(part, &format!("{pointer}/{key}/{at}"), inner, names);
            }
        }
        if let Some(inner) = &when.not {
            self.schedule_names(part, &format!("{pointer}/not"), inner, names);
        }
    }

    fn action_references(
        &mut self,
        part: &Part,
        pointer: &str,
        actions: &[ActionFields],
        names: &Names,
    ) {
        for (at, fields) in actions.iter().enumerate() {
            let Ok(action) = action::build(&fields.0) else {
                continue;
            };
            let pointer = format!("{pointer}/{at}");
            if let Some((field, message)) = action.fault() {
                let inside = inner_pointer(part, &pointer, field);
                self.error(part, &inside, message);
            }
            let outline = action.outline();
            for section in outline
                .sections
                .iter()
                .filter(|name| !names.sections.contains(**name))
            {
                self.error(
                    part,
                    &pointer,
                    format!("there is no section `{section}` in this context"),
                );
            }
            for name in outline
                .templates
                .iter()
                .flat_map(|template| template.variables())
            {
                if !names.variables.contains(name) {
                    self.error(
                        part,
                        &pointer,
                        format!("nothing sets the variable `{{{name}}}`"),
                    );
                }
            }
        }
    }

    fn error(&mut self, part: &Part, pointer: &str, message: String) {
        self.faults.push(part.document.fault(pointer, message));
    }
}

/// `/route/0/do/1` → `/route/0/do/1/gather/min`, as far as it exists.
fn inner_pointer(part: &Part, pointer: &str, field: &str) -> String {
    let action = part.document.nearest(pointer).entries().first();
    let name = action.map(|entry| entry.key.as_str()).unwrap_or_default();
    format!("{pointer}/{name}/{field}")
}

fn place(part: &Part, pointer: &str) -> Place {
    Place {
        file: part.document.name().into(),
        line: part.document.line_of(pointer),
    }
}

/// Formats were checked with the shape, so nothing is left out here.
fn schedule(fields: &ScheduleFields) -> Schedule {
    let zone = TimeZone::get(&fields.zone).unwrap_or(TimeZone::UTC);
    let open = fields
        .open
        .iter()
        .filter_map(|text| Hours::parse(&text.0).ok())
        .collect();
    let closed = fields
        .closed_on
        .iter()
        .filter_map(|text| text.0.parse().ok())
        .collect();
    Schedule::new(zone, open, closed)
}

fn names_of(context: &Context) -> Names {
    let mut names: BTreeSet<String> = variables::RESERVED
        .iter()
        .map(|name| (*name).to_owned())
        .collect();
    for route in &context.routes {
        names.extend(route.when.capture_names());
    }
    let routes = context.routes.iter().flat_map(|route| {
        route
            .steps
            .iter()
            .chain(route.otherwise.iter().flat_map(|steps| steps.iter()))
    });
    let sections = context.sections.values().flat_map(|steps| steps.iter());
    for step in routes.chain(sections) {
        names.extend(
            step.action
                .outline()
                .sets
                .iter()
                .map(|name| (*name).to_owned()),
        );
    }
    Names {
        sections: context.sections.keys().cloned().collect(),
        schedules: context.schedules.keys().cloned().collect(),
        variables: names,
    }
}
