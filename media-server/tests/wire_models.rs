//! Agents that think with language models, in whole calls: the models are aimock's, who wrote down for himself what each interface sends.

#[path = "rig/aimock.rs"]
mod aimock;
#[path = "rig/node.rs"]
mod rig;
#[path = "rig/words.rs"]
mod words;

use std::time::Duration;

use aimock::Aimock;
use media_server::node::NodeHandle;
use rig::{Office, Site, free_port};
use serde_json::{Value, json};
use words::Words;

const LIMIT: Duration = Duration::from_secs(120);
const PRICE: &str = "The tasting menu is eighty five dollars.";
const SORRY: &str = "I cannot connect you there, I am sorry.";

/// Each agent answers at a number of its own name.
fn plan() -> String {
    let names = ["chat", "responses", "anthropic", "nobody"];
    let routes = names.map(|name| {
        format!("[[route]]\nname = \"{name}\"\nwhen = {{ to = \"{name}\" }}\ndo = [{{ agent = \"demo/{name}\" }}]\n")
    });
    format!("context = \"internal\"\n{}", routes.concat())
}

/// What the model says to what, by whatever interface it is asked.
fn fixtures() -> Value {
    let call = |name: &str, arguments: Value| json!({ "toolCalls": [{ "name": name, "arguments": arguments.to_string() }] });
    let evil = json!({ "destination": "sip:+19005550100@evil.example" });
    json!({ "fixtures": [
        { "match": { "userMessage": "manager", "hasToolResult": true }, "response": { "content": SORRY } },
        { "match": { "userMessage": "manager" }, "response": call("transfer", evil) },
        { "match": { "userMessage": "ow much" }, "response": { "content": PRICE } },
        { "match": { "userMessage": "bye" }, "response": call("end_call", json!({})) },
    ] })
}

struct Stage {
    site: Site,
    node: NodeHandle,
    office: Office,
    tenant: String,
    model: Aimock,
}

impl Stage {
    /// A server whose providers are aimock by each interface, and one that nobody answers for.
    async fn set(test: &str) -> Option<Self> {
        if !Aimock::is_here(test) {
            return None;
        }
        if Words::open(&rig::root().join("models")).is_none() {
            println!("SKIP {test}: the local models are not here (scripts/models)");
            return None;
        }
        let model = Aimock::start(&fixtures());
        let url = format!("http://127.0.0.1:{}/v1", model.port);
        let provider = |name: &str, kind: &str| {
            format!(
                "[providers.{name}]\nkind = \"{kind}\"\nurl = \"{url}\"\nkey = \"k\"\nmodel = \"some-model\"\n"
            )
        };
        let extra = format!(
            "{}{}{}[providers.nobody]\nurl = \"http://127.0.0.1:{}/v1\"\nfallbacks = [\"anthropic\"]\n",
            provider("chat", "openai"),
            provider("responses", "openai-responses"),
            provider("anthropic", "anthropic"),
            free_port(),
        );
        let site = Site::new(&extra, Some(&plan()));
        let node = site.start().await;
        let office = site.office();
        let tenants = office.get("/v1/tenants").await;
        let tenants = tenants["data"].as_array().unwrap();
        let demo = tenants.iter().find(|t| t["slug"] == "demo").unwrap();
        let tenant = demo["id"].as_str().unwrap().to_owned();
        Some(Self {
            site,
            node,
            office,
            tenant,
            model,
        })
    }

    /// An agent of this name that thinks with the provider of this name.
    async fn publish(&self, name: &str) {
        let config = json!({
            "display_name": "Ada",
            "greeting": "Good evening.",
            "disclosure": false,
            "farewell": "Goodbye!",
            "brain": { "kind": "llm", "provider": name, "model": "default", "prompt": "Be brief." },
            "tools": ["end_call", "transfer"],
            "transfers": [{ "name": "desk", "description": "The desk.", "plan": { "targets": [["user/desk"]] } }],
        });
        let agent = json!({ "slug": name, "config": config });
        let agent = self
            .office
            .post_for(&self.tenant, "/v1/agents", &agent)
            .await;
        let id = agent["id"].as_str().unwrap_or_else(|| panic!("{agent:#}"));
        let path = format!("/v1/agents/{id}/publish?wait=10s");
        let published = self.office.post_for(&self.tenant, &path, &json!({})).await;
        assert!(published["error"].is_null(), "{published:#}");
    }

    /// Calls it, says these; the call's record and what the agent said.
    async fn call(&self, name: &str, says: &[&str]) -> (Value, Vec<String>) {
        self.publish(name).await;
        let says: Vec<String> = says.iter().map(|words| format!("say:{words}")).collect();
        let steps: Vec<&str> = says.iter().flat_map(|step| ["--step", step]).collect();
        let phone = self.site.phone(name, &steps);
        let finished = tokio::task::spawn_blocking(move || phone.finish(LIMIT));
        let (summary, _) = finished.await.unwrap();
        let call = self.office.ended(&summary["sip_call_id"]).await;
        let said = self.office.said(&call, "agent").await;
        let text = |segment: &Value| segment["text"].as_str().unwrap_or_default().to_owned();
        let heard = self.office.said(&call, "caller").await;
        let heard: Vec<String> = heard.iter().map(text).collect();
        println!("{name} heard {heard:?}, aimock: {}", self.model.log());
        (call, said.iter().map(text).collect())
    }
}

const ASK: &str = "How much is the tasting menu?";

#[tokio::test(flavor = "multi_thread")]
async fn each_interface_answers_by_voice_and_ends_the_call_by_its_tool() {
    let test = "each_interface_answers_by_voice_and_ends_the_call_by_its_tool";
    let Some(stage) = Stage::set(test).await else {
        return;
    };
    for name in ["chat", "responses", "anthropic"] {
        let (call, said) = stage.call(name, &[ASK, "goodbye"]).await;
        assert!(said.iter().any(|text| text == PRICE), "{name}: {said:?}");
        assert_eq!(
            call["end_reason"], "agent_hangup",
            "{name}: {said:?} {call:#}"
        );
    }
    stage.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_nobody_answers_for_the_first_model_the_next_one_is_asked() {
    let test = "when_nobody_answers_for_the_first_model_the_next_one_is_asked";
    let Some(stage) = Stage::set(test).await else {
        return;
    };
    let (call, said) = stage.call("nobody", &[ASK, "goodbye"]).await;
    assert!(said.iter().any(|text| text == PRICE), "{said:?}");
    assert_eq!(call["end_reason"], "agent_hangup", "{said:?} {call:#}");
    stage.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_names_an_address_of_its_own_to_transfer_to_is_refused_and_the_call_lives() {
    let test =
        "a_model_that_names_an_address_of_its_own_to_transfer_to_is_refused_and_the_call_lives";
    let Some(stage) = Stage::set(test).await else {
        return;
    };
    let says = ["I want to speak to the manager.", "goodbye"];
    let (call, said) = stage.call("anthropic", &says).await;
    assert!(said.iter().any(|text| text == SORRY), "{said:?}");
    let tools = stage.office.facts(&call, "tool").await;
    assert!(
        !tools.is_empty()
            && tools
                .iter()
                .all(|tool| tool["ok"] == false && tool["denied"] == true),
        "{tools:#?}"
    );
    let left = stage.office.facts(&call, "transfer_attempt").await;
    assert!(left.is_empty(), "{left:#?}");
    assert_eq!(call["end_reason"], "agent_hangup", "{said:?} {call:#}");
    stage.node.stop().await;
}
