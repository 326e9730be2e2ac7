//! Walks a call through its dialplan: finds the route, hands out one [`Op`] after the other.
//!
//! The search is lazy. A condition is looked at only when the actions before it have run,
//! against the variables as they are by then.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;

use super::action::{AgentSource, Op};
use super::{Binding, Context, Dialplans, Facts, Place, Route, Step, Variables, Verdict};

/// Most steps in a row that wait for nothing, before the plan counts as a loop.
const MAX_HOPS: u32 = 500;
/// Most `goto`s of one call.
const MAX_GOTOS: u32 = 10_000;

/// A call's place in its dialplan.
#[derive(Debug, Clone)]
pub struct Walk {
    plan: Arc<Dialplans>,
    context: String,
    headers: Vec<(String, String)>,
    bound: Option<Binding>,
    next_route: Option<usize>,
    steps: VecDeque<Step>,
    ops: VecDeque<Op>,
    place: Option<Place>,
    variables: Variables,
    hops: u32,
    gotos: u32,
}

/// Where the walk stands after a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// Do this, then ask again.
    Op(Op),
    /// No route matched: 404.
    NoRoute,
    /// The plan is done.
    End,
    /// The plan cannot go on: what happened, and where.
    Broken(String),
}

/// What the walk did on the way, for `route` and the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Traced {
    /// A route did not match.
    Passed {
        /// Its name.
        route: String,
        /// Where it is written.
        place: Place,
        /// Why not.
        why: String,
    },
    /// A route matched.
    Took {
        /// Context and name, `public/reception`.
        route: String,
        /// Where it is written.
        place: Place,
        /// The closed schedule when its `else` runs.
        closed: Option<String>,
    },
    /// The number's agent answers, without a route.
    Bound {
        /// `tenant/slug`.
        agent: String,
    },
    /// On with a section.
    Went {
        /// Its name.
        section: String,
    },
    /// A variable was set.
    Set {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
}

impl Walk {
    /// A walk at its beginning. `variables` hold the call's own facts.
    pub fn new(
        plan: Arc<Dialplans>,
        context: &str,
        variables: Variables,
        headers: Vec<(String, String)>,
        bound: Option<Binding>,
    ) -> Walk {
        Walk {
            plan,
            context: super::canonical(context).to_owned(),
            headers,
            bound,
            next_route: Some(0),
            steps: VecDeque::new(),
            ops: VecDeque::new(),
            place: None,
            variables,
            hops: 0,
            gotos: 0,
        }
    }

    /// A walk that does these ops and ends: a call that has no route.
    pub fn doing(plan: Arc<Dialplans>, variables: Variables, ops: Vec<Op>) -> Walk {
        Walk {
            next_route: None,
            ops: ops.into(),
            ..Walk::new(plan, "", variables, Vec::new(), None)
        }
    }

    /// The call's variables.
    pub fn variables(&self) -> &Variables {
        &self.variables
    }

    /// The call's variables, for what it gathered.
    pub fn variables_mut(&mut self) -> &mut Variables {
        &mut self.variables
    }

    /// Where the last op is written; None for the ops of a number's own agent.
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// The agent that this list of actions comes to, so that it can be prepared before the answer.
    pub fn upcoming_agent(&self) -> Option<AgentSource> {
        let op = self.ops.iter().find_map(|op| match op {
            Op::Agent(source) => Some(source.clone()),
            _ => None,
        });
        op.or_else(|| {
            self.steps
                .iter()
                .find_map(|step| step.action.outline().agent)
        })
    }

    /// Whether this list of actions still has something of its own to say of recording.
    pub fn says_of_recording(&self) -> bool {
        let op = |op: &Op| matches!(op, Op::Record(_) | Op::Consent(_));
        self.ops.iter().any(op) || self.steps.iter().any(|s| s.action.outline().records)
    }

    /// Whether this list of actions comes to a question to the caller if he may be recorded.
    pub fn asks_for_consent(&self) -> bool {
        let op = |op: &Op| matches!(op, Op::Consent(_));
        self.ops.iter().any(op) || self.steps.iter().any(|s| s.action.outline().asks)
    }

    /// Puts an op in front, to be handed out again.
    pub fn put_back(&mut self, op: Op) {
        self.ops.push_front(op);
    }

    /// Leaves the current list of actions for a section.
    pub fn go(&mut self, section: &str, trace: &mut dyn FnMut(Traced)) -> Result<(), String> {
        self.gotos += 1;
        if self.gotos > MAX_GOTOS {
            return Err(format!("more than {MAX_GOTOS} gotos in one call"));
        }
        let steps = self
            .plan
            .context(&self.context)
            .and_then(|context| context.sections.get(section));
        let steps = steps.ok_or_else(|| format!("there is no section `{section}`"))?;
        self.steps = steps.iter().cloned().collect();
        self.ops.clear();
        self.next_route = None;
        trace(Traced::Went {
            section: section.to_owned(),
        });
        Ok(())
    }

    /// The next op that somebody else must carry out.
    pub fn next(&mut self, at: Timestamp, trace: &mut dyn FnMut(Traced)) -> Stop {
        loop {
            self.hops += 1;
            if self.hops > MAX_HOPS {
                return Stop::Broken(
                    "the plan goes round in circles without waiting for anything".to_owned(),
                );
            }
            match self.ops.pop_front() {
                Some(Op::Set { name, value }) => self.set(name, value, trace),
                Some(Op::Unset { name }) => self.variables.unset(&name),
                Some(Op::Goto { section }) => {
                    if let Err(why) = self.go(&section, trace) {
                        return Stop::Broken(why);
                    }
                }
                Some(op) => return self.hand_out(op),
                None => {
                    if let Some(stop) = self.refill(at, trace) {
                        return stop;
                    }
                }
            }
        }
    }

    fn hand_out(&mut self, op: Op) -> Stop {
        if op.waits() {
            self.hops = 0;
        }
        Stop::Op(op)
    }

    fn set(&mut self, name: String, value: String, trace: &mut dyn FnMut(Traced)) {
        self.variables.set(&name, &value);
        trace(Traced::Set { name, value });
    }

    /// Fills `ops` from the next action, or finds the next route. Some: it is over.
    fn refill(&mut self, at: Timestamp, trace: &mut dyn FnMut(Traced)) -> Option<Stop> {
        if let Some(step) = self.steps.pop_front() {
            let place = step.place.clone();
            let filled = step.action.ops(&self.variables);
            self.place = Some(place.clone());
            return match filled {
                Ok(ops) => {
                    self.ops.extend(ops);
                    None
                }
                Err(refused) => Some(Stop::Broken(format!("{place}: {refused}"))),
            };
        }
        let Some(from) = self.next_route.take() else {
            return Some(Stop::End);
        };
        self.search(from, at, trace)
    }

    fn search(
        &mut self,
        from: usize,
        at: Timestamp,
        trace: &mut dyn FnMut(Traced),
    ) -> Option<Stop> {
        let plan = Arc::clone(&self.plan);
        let Some(context) = plan.context(&self.context) else {
            return Some(self.without_route(from, trace));
        };
        for (index, route) in context.routes.iter().enumerate().skip(from) {
            if self.bound.is_some() && !route.when.names_number() {
                continue;
            }
            if self.try_route(context, route, at, trace) {
                self.next_route = route.goes_on.then_some(index + 1);
                return None;
            }
        }
        match self.without_route(from, trace) {
            Stop::Op(op) => {
                self.ops.push_front(op);
                None
            }
            stop => Some(stop),
        }
    }

    /// Looks at one route; true when its actions (or its `else`) are taken.
    fn try_route(
        &mut self,
        context: &Context,
        route: &Route,
        at: Timestamp,
        trace: &mut dyn FnMut(Traced),
    ) -> bool {
        let facts = Facts {
            variables: &self.variables,
            headers: &self.headers,
            schedules: &context.schedules,
            at,
        };
        let (name, place) = (route.name.clone(), route.place.clone());
        let (steps, captures, closed) = match (route.when.evaluate(&facts), &route.otherwise) {
            (Verdict::Holds(captures), _) => (&route.steps, captures, None),
            (Verdict::Closed { schedule, captures }, Some(otherwise)) => {
                (otherwise, captures, Some(schedule))
            }
            (Verdict::Closed { schedule, .. }, None) => {
                trace(Traced::Passed {
                    route: name,
                    place,
                    why: format!("schedule {schedule} is closed"),
                });
                return false;
            }
            (Verdict::No(why), _) => {
                trace(Traced::Passed {
                    route: name,
                    place,
                    why,
                });
                return false;
            }
        };
        for (name, value) in captures {
            self.variables.set(&name, &value);
        }
        self.steps = steps.iter().cloned().collect();
        trace(Traced::Took {
            route: format!("{}/{name}", context.name),
            place,
            closed,
        });
        true
    }

    /// No route (any more): the number's own agent, else the end.
    fn without_route(&mut self, from: usize, trace: &mut dyn FnMut(Traced)) -> Stop {
        match self.bound.take() {
            Some(binding) if from == 0 => {
                trace(Traced::Bound {
                    agent: binding.agent.clone(),
                });
                self.ops.extend(binding.recording.op());
                self.ops
                    .push_back(Op::Agent(AgentSource::Named(binding.agent)));
                self.place = None;
                self.hand_out(Op::Answer)
            }
            Some(_) => Stop::End,
            None if from == 0 => Stop::NoRoute,
            None => Stop::End,
        }
    }
}
