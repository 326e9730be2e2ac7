//! Applications of an extension as actions of a route.

use super::{profile::is_name, quoted, tree::Element};

/// What becomes of an `<action>`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Carried {
    /// This action.
    Action(String),
    /// Nothing: it steers what does not exist here. Why, for the list.
    Nothing(&'static str),
    /// The whole extension stays behind: why.
    Impossible(String),
}

/// The variables of FreeSWITCH that `$1` and `${name}` may mean here.
pub(super) struct Scope<'a> {
    /// The key of the condition whose groups `$1` names: `to`, `from`.
    pub key: &'a str,
    /// How many groups it has.
    pub groups: usize,
    /// Variables that an earlier `set` made.
    pub set: &'a [String],
}

/// Carries one action over.
pub(super) fn carry(action: &Element, scope: &Scope<'_>) -> Carried {
    let application = action.get("application").unwrap_or_default();
    let data = action.get("data").unwrap_or(&action.text).trim();
    let carried = match application {
        "answer" => Ok(quoted("answer")),
        "pre_answer" => Ok(quoted("early_media")),
        "ring_ready" => Ok(quoted("ring")),
        "echo" => Ok(quoted("echo")),
        "sleep" => millis(data),
        "hangup" => hangup(data),
        "respond" => respond(data),
        "playback" => playback(data, scope),
        "log" => log(data, scope),
        "set" => return set(data, scope),
        "unset" => name(data).map(|name| format!("{{ unset = {} }}", quoted(name))),
        "record_session" => Ok("{ record = { channels = 2, consent = \"announce\" } }".to_owned()),
        "bridge" => bridge(data, scope),
        "export" | "info" | "bind_meta_app" | "hash" | "db" | "event" | "presence"
        | "sched_hangup" | "set_global" | "privacy" | "sound_test" | "check_acl" => {
            return Carried::Nothing("it steers something that does not exist here");
        }
        other => Err(format!(
            "there is no counterpart of the application {other}"
        )),
    };
    match carried {
        Ok(action) => Carried::Action(action),
        Err(why) => Carried::Impossible(why),
    }
}

fn millis(data: &str) -> Result<String, String> {
    let millis: u32 = data.parse().map_err(|_| "sleep wants milliseconds")?;
    Ok(format!("{{ sleep = \"{millis}ms\" }}"))
}

fn hangup(cause: &str) -> Result<String, String> {
    let ours = match cause {
        "" | "NORMAL_CLEARING" | "16" => "normal",
        "USER_BUSY" | "17" => "busy",
        "NO_ANSWER" | "NO_USER_RESPONSE" | "19" => "no_answer",
        "CALL_REJECTED" | "21" => "rejected",
        "UNALLOCATED_NUMBER" | "NO_ROUTE_DESTINATION" | "1" | "3" => "not_found",
        "NORMAL_CIRCUIT_CONGESTION" | "SWITCH_CONGESTION" | "34" => "congestion",
        other => return Err(format!("there is no hangup cause {other} here")),
    };
    Ok(format!("{{ hangup = \"{ours}\" }}"))
}

fn respond(data: &str) -> Result<String, String> {
    let status: Option<u16> = data.split(' ').next().and_then(|code| code.parse().ok());
    match status {
        Some(status @ 400..700) => Ok(format!("{{ respond = {status} }}")),
        _ => Err(format!("'{data}' is no refusal")),
    }
}

fn playback(data: &str, scope: &Scope<'_>) -> Result<String, String> {
    if data.contains("://") || data.starts_with("say:") {
        return Err(format!("there is no sound '{data}' here"));
    }
    let file = data.rsplit('/').next().unwrap_or(data);
    if !file.ends_with(".wav") {
        return Err(format!("'{data}' is no WAV file"));
    }
    Ok(format!("{{ play = {} }}", quoted(&filled(file, scope)?)))
}

fn log(data: &str, scope: &Scope<'_>) -> Result<String, String> {
    let levels = [
        "CONSOLE", "ALERT", "CRIT", "ERR", "ERROR", "WARNING", "NOTICE", "INFO", "DEBUG",
    ];
    let text = match data.split_once(' ') {
        Some((level, text)) if levels.contains(&level) => text,
        _ => data,
    };
    Ok(format!("{{ log = {} }}", quoted(&filled(text, scope)?)))
}

/// A variable of the plan's own; those that steer FreeSWITCH mean nothing here.
fn set(data: &str, scope: &Scope<'_>) -> Carried {
    let Some((key, value)) = data.split_once('=') else {
        return Carried::Nothing("it sets nothing");
    };
    match (name(key), filled(value, scope)) {
        (Ok(key), Ok(value)) if is_own(key) => Carried::Action(format!(
            "{{ set = {{ {} = {} }} }}",
            quoted(key),
            quoted(&value)
        )),
        _ => Carried::Nothing("it steers something that does not exist here"),
    }
}

/// Whether a variable is the plan's, not one that FreeSWITCH reads.
pub(super) fn is_own(name: &str) -> bool {
    const THEIRS: &[&str] = &[
        "absolute_codec_string",
        "api_hangup_hook",
        "bypass_media",
        "call_timeout",
        "continue_on_fail",
        "effective_caller_id_name",
        "effective_caller_id_number",
        "enable_file_write_buffering",
        "execute_on_answer",
        "group_confirm_file",
        "group_confirm_key",
        "hangup_after_bridge",
        "hold_music",
        "ignore_early_media",
        "instant_ringback",
        "inherit_codec",
        "leg_timeout",
        "media_bug_answer_req",
        "playback_terminators",
        "proxy_media",
        "record_sample_rate",
        "ringback",
        "session_in_hangup_hook",
        "sip_secure_media",
        "transfer_ringback",
        "tts_engine",
        "tts_voice",
        "zrtp_secure_media",
    ];
    let prefixes = [
        "sip_",
        "rtp_",
        "RECORD_",
        "fax_",
        "t38_",
        "dialed_",
        "origination_",
    ];
    !THEIRS.contains(&name) && !prefixes.iter().any(|prefix| name.starts_with(prefix))
}

fn name(text: &str) -> Result<&str, String> {
    let text = text.trim();
    let fits = text
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let begins = text.chars().next().is_some_and(|c| c.is_ascii_lowercase());
    match fits && begins && text.len() <= 64 {
        true => Ok(text),
        false => Err(format!("'{text}' is no name of a variable here")),
    }
}

/// `a,b` rings together, `a|b` in turn; `user/…`, gateways and addresses are targets here too.
fn bridge(data: &str, scope: &Scope<'_>) -> Result<String, String> {
    if data.contains(['{', '<', '[']) && !data.starts_with('{') && !data.contains("${") {
        return Err("the variables of a single target are not carried".into());
    }
    let data = match data.strip_prefix('{') {
        Some(rest) => rest.split_once('}').map_or(rest, |(_, targets)| targets),
        None => data,
    };
    if data.contains(":_:") {
        return Err("enterprise dialling (:_:) has no counterpart here".into());
    }
    let mut turns = Vec::new();
    for turn in data.split('|') {
        let together: Result<Vec<String>, String> = turn
            .split(',')
            .map(|one| target(one.trim(), scope))
            .collect();
        turns.push(match together?.as_slice() {
            [one] => one.clone(),
            more => format!("[{}]", more.join(", ")),
        });
    }
    Ok(format!("{{ bridge = {{ to = [{}] }} }}", turns.join(", ")))
}

fn target(text: &str, scope: &Scope<'_>) -> Result<String, String> {
    let unknown = || format!("there is no target '{text}' here");
    let (kind, rest) = text.split_once('/').ok_or_else(unknown)?;
    let ours = match kind {
        "user" => {
            let user = rest.split('@').next().unwrap_or(rest);
            format!("user/{}", filled(user, scope)?)
        }
        "sofia" => match rest.split_once('/') {
            Some(("gateway", rest)) => {
                let (gateway, number) = rest.split_once('/').ok_or_else(unknown)?;
                let gateway = Some(gateway)
                    .filter(|name| is_name(name))
                    .ok_or_else(unknown)?;
                format!("trunk/{gateway}/{}", filled(number, scope)?)
            }
            Some((_, address)) if address.contains('@') => {
                let address = address.strip_prefix("sip:").unwrap_or(address);
                format!("sip:{}", filled(address, scope)?)
            }
            _ => return Err(unknown()),
        },
        _ => return Err(unknown()),
    };
    Ok(quoted(&ours))
}

/// `$1` and the variables that exist here too; braces of our own are doubled.
fn filled(text: &str, scope: &Scope<'_>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['$', '{', '}']) {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        if let Some(named) = after.strip_prefix("${") {
            let (name, more) = named.split_once('}').ok_or("a ${ is never closed")?;
            out.push_str(&variable(name, scope)?);
            rest = more;
        } else if let Some(number) = after.strip_prefix('$') {
            let digits = number.len()
                - number
                    .trim_start_matches(|c: char| c.is_ascii_digit())
                    .len();
            let (group, more) = number.split_at(digits);
            out.push_str(&captured(group, scope)?);
            rest = more;
        } else {
            let brace = &after[..1];
            out.push_str(brace);
            out.push_str(brace);
            rest = &after[1..];
        }
    }
    Ok(out + rest)
}

fn captured(group: &str, scope: &Scope<'_>) -> Result<String, String> {
    match group.parse::<usize>() {
        Ok(n) if (1..=scope.groups).contains(&n) => Ok(format!("{{{}.g{n}}}", scope.key)),
        _ => Err(format!("'${group}' is no group of the condition")),
    }
}

fn variable(name: &str, scope: &Scope<'_>) -> Result<String, String> {
    let ours = match name {
        "destination_number" => "to",
        "caller_id_number" | "ani" => "from",
        "context" => "context",
        own if scope.set.iter().any(|set| set == own) => own,
        other => return Err(format!("there is no variable ${{{other}}} here")),
    };
    Ok(format!("{{{ours}}}"))
}
