//! The first start of an all-in-one server gives it something to call: the demo tenant with its
//! receptionist and number. Through REST, like everybody.

use egress::{Egress, Policy, Request};
use serde_json::{Value, json};

/// The demo agent as shipped.
const RECEPTIONIST: &str = include_str!("../../../agents/receptionist.json");
/// A number that no carrier gives to anybody (NANP 555-01xx).
const NUMBER: &str = "+15550100";

/// Why the demo could not be set up. The server works without it.
#[derive(Debug, thiserror::Error)]
pub(super) enum SeedError {
    /// The office was not reached.
    #[error("{0}")]
    Egress(#[from] egress::EgressError),
    /// The office said no.
    #[error("{path}: {answer}")]
    Refused {
        /// Which request.
        path: String,
        /// What it said.
        answer: String,
    },
    /// The shipped agent is not JSON.
    #[error("agents/receptionist.json: {0}")]
    Agent(#[from] serde_json::Error),
}

/// Creates tenant, agent and number.
pub(super) async fn demo(office: &control_api::Office, egress: &Egress) -> Result<(), SeedError> {
    let key = std::fs::read_to_string(&office.admin_key().path).unwrap_or_default();
    let desk = Desk {
        base: office.base_url(),
        key: key.trim().to_owned(),
        egress,
    };
    let config: Value = serde_json::from_str(RECEPTIONIST)?;
    let body = json!({ "slug": "demo", "name": "Demo" });
    let tenant = desk.post("/v1/tenants", None, &body).await?;
    let tenant = Some(tenant.as_str());
    let body = json!({ "slug": "receptionist", "config": config });
    let agent = desk.post("/v1/agents", tenant, &body).await?;
    let path = format!("/v1/agents/{agent}/publish");
    desk.post(&path, tenant, &json!({ "note": "as shipped" }))
        .await?;
    let body = json!({ "e164": NUMBER, "agent_id": agent, "label": "demo" });
    desk.post("/v1/numbers", tenant, &body).await?;
    Ok(())
}

struct Desk<'a> {
    base: String,
    key: String,
    egress: &'a Egress,
}

impl Desk<'_> {
    /// Creates something; its id (empty where the answer has none).
    async fn post(
        &self,
        path: &str,
        tenant: Option<&str>,
        body: &Value,
    ) -> Result<String, SeedError> {
        let mut request = Request::post(format!("{}{path}", self.base))
            .bearer(&self.key)
            .json(body);
        if let Some(tenant) = tenant {
            request = request.header("x-tenant-id", tenant);
        }
        let response = self.egress.send(Policy::Named, request).await?;
        let good = response.is_success();
        let answer: Value = response.json().await?;
        if !good {
            return Err(SeedError::Refused {
                path: path.to_owned(),
                answer: answer.to_string(),
            });
        }
        Ok(answer["id"].as_str().unwrap_or_default().to_owned())
    }
}
