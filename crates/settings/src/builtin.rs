//! What holds without any file: the profiles and dialplans that the product ships.

use call_core::document::SourceFile;

/// The shipped profiles: `internal` on 5060, `external` on 5080, both on loopback.
pub(crate) fn profiles() -> Vec<SourceFile> {
    vec![
        file(
            "built-in sip-profiles/external.toml",
            include_str!("../../../sip-profiles/external.toml"),
        ),
        file(
            "built-in sip-profiles/internal.toml",
            include_str!("../../../sip-profiles/internal.toml"),
        ),
    ]
}

/// The shipped dialplans.
pub(crate) fn dialplans() -> Vec<SourceFile> {
    vec![
        file(
            "built-in dialplans/internal.toml",
            include_str!("../../../dialplans/internal.toml"),
        ),
        file(
            "built-in dialplans/public.toml",
            include_str!("../../../dialplans/public.toml"),
        ),
    ]
}

/// The carriers the product knows.
pub(crate) fn carriers() -> Vec<SourceFile> {
    macro_rules! shipped {
        ($($name:literal),*) => { vec![$(file(
            concat!("built-in sip-profiles/carriers/", $name, ".toml"),
            include_str!(concat!("../../../sip-profiles/carriers/", $name, ".toml")),
        )),*] };
    }
    shipped![
        "bandwidth",
        "flowroute",
        "signalwire",
        "telnyx",
        "twilio",
        "voipms",
        "vonage",
        "whatsapp"
    ]
}

fn file(name: &str, text: &str) -> SourceFile {
    SourceFile {
        name: name.to_owned(),
        text: text.to_owned(),
    }
}
