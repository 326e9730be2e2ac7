//! Countries as the telephone network sees them: calling code, prefixes, emergency numbers.
//!
//! Sources: ITU-T E.164 (calling codes), ITU-T E.129 (dialling prefixes) and the national numbering
//! plans published with it. A country that is missing here is no fault: its numbers are written in
//! E.164, and every emergency number of the table counts as one for it.

/// A country's numbering plan, as far as a switch needs it.
#[derive(Debug, PartialEq, Eq)]
pub struct Country {
    /// ISO 3166-1 alpha-2, capitals.
    pub code: &'static str,
    /// Country calling code without `+`.
    pub calling: &'static str,
    /// What stands before a national number when dialled inside the country; empty where nothing does.
    pub national: &'static str,
    /// What stands before an international number.
    pub international: &'static str,
    /// Emergency numbers besides 112.
    pub emergency: &'static [&'static str],
}

/// Understood as an emergency call by every mobile network (3GPP TS 22.101 §10.1).
const EVERYWHERE: &str = "112";

macro_rules! countries {
    ($($code:literal $calling:literal $national:literal $international:literal [$($number:literal)*])*) => {
        /// Every country that is known.
        pub static ALL: &[Country] = &[$(Country {
            code: $code,
            calling: $calling,
            national: $national,
            international: $international,
            emergency: &[$($number),*],
        }),*];
    };
}

countries! {
    "AE" "971" "0" "00" ["997" "998" "999"]
    "AR" "54" "0" "00" ["100" "101" "107" "911"]
    "AT" "43" "0" "00" ["122" "133" "140" "141" "144"]
    "AU" "61" "0" "0011" ["000" "106"]
    "BE" "32" "0" "00" ["100" "101"]
    "BR" "55" "0" "00" ["190" "192" "193" "911"]
    "CA" "1" "1" "011" ["911" "988"]
    "CH" "41" "0" "00" ["117" "118" "144" "1414"]
    "CL" "56" "" "00" ["131" "132" "133"]
    "CN" "86" "0" "00" ["110" "119" "120" "122"]
    "CO" "57" "" "00" ["119" "123" "125"]
    "CZ" "420" "" "00" ["150" "155" "158"]
    "DE" "49" "0" "00" ["110"]
    "DK" "45" "" "00" []
    "DZ" "213" "0" "00" ["14" "17" "1548"]
    "EG" "20" "0" "00" ["122" "123" "180"]
    "ES" "34" "" "00" ["061" "062" "080" "088" "091" "092"]
    "FI" "358" "0" "00" []
    "FR" "33" "0" "00" ["15" "17" "18" "114" "115" "116000" "119" "191" "196" "197"]
    "GB" "44" "0" "00" ["999" "18000"]
    "GR" "30" "" "00" ["100" "108" "166" "199"]
    "HK" "852" "" "001" ["999" "992"]
    "HU" "36" "06" "00" ["104" "105" "107"]
    "ID" "62" "0" "001" ["110" "113" "118" "119"]
    "IE" "353" "0" "00" ["999"]
    "IL" "972" "0" "00" ["100" "101" "102"]
    "IN" "91" "0" "00" ["100" "101" "102" "108"]
    "IT" "39" "" "00" ["113" "115" "118"]
    "JP" "81" "0" "010" ["110" "118" "119"]
    "KE" "254" "0" "000" ["911" "999"]
    "KR" "82" "0" "001" ["119"]
    "LU" "352" "" "00" ["113"]
    "MA" "212" "0" "00" ["15" "19" "150" "177" "190"]
    "MX" "52" "" "00" ["911"]
    "MY" "60" "0" "00" ["994" "999"]
    "NG" "234" "0" "009" ["199"]
    "NL" "31" "0" "00" []
    "NO" "47" "" "00" ["110" "113"]
    "NZ" "64" "0" "00" ["111"]
    "PE" "51" "0" "00" ["105" "106" "116"]
    "PH" "63" "0" "00" ["911"]
    "PL" "48" "" "00" ["997" "998" "999"]
    "PT" "351" "" "00" []
    "RO" "40" "0" "00" []
    "RU" "7" "8" "810" ["101" "102" "103"]
    "SA" "966" "0" "00" ["911" "997" "998" "999"]
    "SE" "46" "0" "00" []
    "SG" "65" "" "000" ["995" "999"]
    "SK" "421" "0" "00" ["150" "155" "158"]
    "TH" "66" "0" "001" ["191" "199" "1669"]
    "TN" "216" "" "00" ["190" "197" "198"]
    "TR" "90" "0" "00" ["110" "155" "156"]
    "TW" "886" "0" "002" ["110" "119"]
    "UA" "380" "0" "00" ["101" "102" "103"]
    "US" "1" "1" "011" ["911" "988"]
    "VN" "84" "0" "00" ["113" "114" "115"]
    "ZA" "27" "0" "00" ["10111" "10177"]
}

/// The country with this ISO code, any case.
pub fn by_code(code: &str) -> Option<&'static Country> {
    ALL.iter()
        .find(|country| country.code.eq_ignore_ascii_case(code))
}

/// The ISO codes that are known, for messages.
pub fn codes() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|country| country.code)
}

impl Country {
    /// Whether the country shares the North American plan: ten digits behind a 1.
    pub fn is_nanp(&self) -> bool {
        self.calling == "1"
    }
}

/// The emergency code that `dialled` comes to, in `country`, or, where that is not known, anywhere.
///
/// What reaches an emergency desk in spite of its spelling counts too: separators, `tel:`,
/// `urn:service:sos` (RFC 5031), a `+`, the country's calling code or international prefix before
/// the code (`+1911`, `0033112`). A false alarm refuses a call; a missed one sends it to the police.
pub fn emergency(dialled: &str, country: Option<&Country>) -> Option<String> {
    if dialled.to_ascii_lowercase().starts_with("urn:service:sos") {
        return Some(EVERYWHERE.to_owned());
    }
    let digits = digits_of(dialled);
    let of = |country: &Country| candidates(&digits, country).find(|code| is_code(country, code));
    let found = match country {
        Some(country) => of(country),
        None => ALL.iter().find_map(of),
    };
    found.map(ToOwned::to_owned)
}

/// What is left of a number when the ways to write it are taken away; `*` and `#` stay.
fn digits_of(dialled: &str) -> String {
    let bare = dialled.strip_prefix("tel:").unwrap_or(dialled);
    let bare = bare.split([';', '@']).next().unwrap_or(bare);
    bare.chars()
        .filter(|c| c.is_ascii_digit() || matches!(c, '*' | '#'))
        .collect()
}

fn is_code(country: &Country, digits: &str) -> bool {
    digits == EVERYWHERE || country.emergency.contains(&digits)
}

fn candidates<'a>(digits: &'a str, country: &Country) -> impl Iterator<Item = &'a str> {
    let past =
        |text: &'a str, prefix: &str| text.strip_prefix(prefix).filter(|_| !prefix.is_empty());
    let called = past(digits, country.calling);
    let abroad = past(digits, country.international).and_then(|rest| past(rest, country.calling));
    let plain = past(digits, "00").and_then(|rest| past(rest, country.calling));
    [Some(digits), called, abroad, plain].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_once_each_and_made_of_digits() {
        assert!(ALL.is_sorted_by(|a, b| a.code < b.code));
        for country in ALL {
            let numbers = country.emergency.iter().chain([&country.calling]);
            assert!(
                numbers
                    .clone()
                    .all(|n| n.bytes().all(|b| b.is_ascii_digit())),
                "{}",
                country.code
            );
        }
    }

    #[test]
    fn every_country_has_its_emergency_numbers_and_112() {
        for country in ALL {
            for number in country.emergency.iter().chain([&EVERYWHERE]) {
                let found = emergency(number, Some(country));
                assert_eq!(found.as_deref(), Some(*number), "{}", country.code);
                assert!(
                    emergency(number, None).is_some(),
                    "unknown country: {number}"
                );
            }
        }
    }

    #[test]
    fn spellings_that_still_reach_the_desk_are_found() {
        let us = by_code("us");
        for dialled in [
            "911",
            "+911",
            "+1911",
            "1911",
            "tel:911",
            "9-1-1",
            "911;phone-context=x",
            "0111911",
            "urn:service:sos.police",
        ] {
            assert!(emergency(dialled, us).is_some(), "{dialled}");
        }
        let gb = by_code("GB");
        assert_eq!(emergency("0044999", gb).as_deref(), Some("999"));
        assert_eq!(emergency("18", by_code("FR")).as_deref(), Some("18"));
    }

    #[test]
    fn ordinary_numbers_are_none() {
        for (dialled, country) in [
            ("+15550100911", "US"),
            ("+33100000015", "FR"),
            ("1000", "GB"),
            ("110", "GB"),
            ("999", "FR"),
            ("+4915112345678", "DE"),
        ] {
            assert_eq!(
                emergency(dialled, by_code(country)),
                None,
                "{dialled} {country}"
            );
        }
    }
}
