//! Destinations that an agent may hand callers to.

use serde_json::Value;

use super::Rules;
use crate::{
    error::{FaultCode, Faults},
    routes::orders::are_targets,
};

/// Stages of one destination, and targets of one stage.
const MOST: usize = 8;

/// Checks the plan that stands at `at`.
pub fn check_plan(plan: &Value, at: &str, faults: &mut Faults) {
    Rules { faults }.plan(plan, at);
}

impl Rules<'_> {
    pub(super) fn transfers(&mut self, config: &Value, at: &str) {
        let at = format!("{at}/transfers");
        let transfers = &config["transfers"];
        self.each(transfers, &at, 50, Self::destination);
        let names = transfers.as_array().into_iter().flatten();
        let names: Vec<&str> = names.filter_map(|d| d["name"].as_str()).collect();
        for (index, name) in names.iter().enumerate() {
            if names.iter().take(index).any(|earlier| earlier == name) {
                let message = "another destination has this name";
                let at = format!("{at}/{index}/name");
                self.faults.add(FaultCode::Taken, at, message);
            }
        }
    }

    fn destination(&mut self, destination: &Value, at: &str) {
        self.text(&destination["name"], &format!("{at}/name"), 1, 40);
        let description = &destination["description"];
        self.text(description, &format!("{at}/description"), 0, 300);
        self.plan(&destination["plan"], &format!("{at}/plan"));
    }

    fn plan(&mut self, plan: &Value, at: &str) {
        let ring = format!("{at}/ring_for_s");
        self.number(&plan["ring_for_s"], &ring, 5.0, 180.0);
        for name in ["busy_text", "no_answer_text", "failed_text", "resume_text"] {
            self.text(&plan[name], &format!("{at}/{name}"), 0, 500);
        }
        let targets = format!("{at}/targets");
        if plan["targets"].as_array().is_some_and(Vec::is_empty) {
            let message = "must name somebody";
            self.faults.add(FaultCode::OutOfRange, &targets, message);
        }
        self.each(&plan["targets"], &targets, MOST, Self::stage);
    }

    fn stage(&mut self, stage: &Value, at: &str) {
        let count = stage.as_array().map_or(1, Vec::len);
        if count == 0 || count > MOST {
            let message = format!("must name 1 to {MOST} targets");
            self.faults.add(FaultCode::OutOfRange, at, message);
        }
        if stage.is_array() && !are_targets(stage) {
            let message =
                "each must be +NUMBER, trunk/NAME/NUMBER, user/EXTENSION or sip:USER@HOST";
            self.faults.add(FaultCode::InvalidFormat, at, message);
        }
    }
}
