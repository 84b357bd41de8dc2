use super::*;

fn wrong(text: &str) -> (String, String) {
    match Config::parse(text) {
        Ok(_) => panic!("taken: {text}"),
        Err(Wrong { at, why }) => (Place::of(text, at).to_string(), why),
    }
}

#[test]
fn the_example_is_taken_and_says_the_defaults() {
    let config = Config::parse(include_str!("../../wholly.example.toml")).unwrap();
    let defaults = Config::parse("").unwrap();
    assert_eq!(config.listen, defaults.listen);
    assert_eq!(config.log, defaults.log);
    assert_eq!(config.logs, defaults.logs);
    assert!(config.alerts.is_none() && defaults.alerts.is_none());
    assert_eq!(format!("{:?}", config.settings), format!("{:?}", defaults.settings));
    let names: Vec<_> = config.participants.keys().map(ParticipantName::as_str).collect();
    assert_eq!(names, ["inventory", "orders", "payments"]);
    let slots = config.participants["payments"].slots;
    assert_eq!((slots.total(), slots.reserved_for_second_phase()), (64, 16));
}

#[test]
fn every_setting_is_set() {
    let config = Config::parse(
        "[settings]\ndeadline = '1s'\ncall_timeout = '2ms'\nbackoff_first = '3ms'\n\
         backoff_cap = '4m'\nstuck_after_tries = 5\nin_flight_limit = 6\npatience = '7h'\n",
    );
    let Settings {
        deadline,
        call_timeout,
        backoff,
        stuck_after_tries,
        in_flight_limit,
        patience,
        ..
    } = config.unwrap().settings;
    assert_eq!(deadline, Duration::from_secs(1));
    assert_eq!(call_timeout, Duration::from_millis(2));
    assert_eq!(backoff.first, Duration::from_millis(3));
    assert_eq!(backoff.cap, Duration::from_secs(240));
    assert_eq!((stuck_after_tries, in_flight_limit), (5, 6));
    assert_eq!(patience, Duration::from_secs(7 * 3_600));
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let cases = [
        ("listen = 7", "1:10", "expected a string"),
        ("\nlisten = '0.0.0.0:7400'", "2:10", "later version brings"),
        ("listen = 'localhost'", "1:10", "write it like 127.0.0.1:7400"),
        ("lsten = '127.0.0.1:1'", "1:1", "expected one of `listen`, `log`"),
        ("[settings]\ndeadlin = '1s'", "2:1", "expected one of `deadline`"),
        ("[settings]\ndeadline = '10'", "2:12", "no duration"),
        ("[settings]\ndeadline = '0s'", "2:12", "out of range"),
        ("[settings]\ndeadline = '721h'", "2:12", "out of range"),
        ("[settings]\ncall_timeout = '99999999999999999999s'", "2:16", "no duration"),
        ("[settings]\ncall_timeout = '9999999999999999999h'", "2:16", "out of range"),
        ("[settings]\nbackoff_cap = '1ms'", "2:15", "shorter than 50ms"),
        ("[settings]\nin_flight_limit = 0", "2:19", "at least 1"),
        ("[settings]\nstuck_after_tries = -1", "2:21", "at least 1"),
        ("[participants.a]\none_phase = true", "1:1", "missing field `url`"),
        ("[participants.a]\nurl = 'ftp://a'", "2:7", "http:// or https://"),
        ("[participants.a]\nurl = 'http://a'\nuri = 1", "3:1", "unknown field `uri`, expected one"),
        ("[participants.a]\nurl = 'http://a'\nrefused_statuses = [503]", "3:20", "400 to 499"),
        ("[participants.a]\nurl = 'http://a'\ncall_timeout = '6s'", "3:16", "[settings]"),
        (
            "[participants.a]\nurl = 'http://a'\nslots = { total = 1, reserved_for_second_phase = 1 }",
            "3:9",
            "each phase needs at least one",
        ),
        ("[participants.A]\nurl = 'http://a'", "1:15", "must not contain 'A'"),
        ("[logs]\nformat = 'xml'", "2:10", "expected `text` or `json`"),
        ("[logs]\nlevel = 'loud'", "2:9", "expected one of `error`, `warn`"),
        ("[alerts]\nurl = 'http://a'", "1:1", "missing field `secret`"),
        ("[alerts]\nurl = 'http://a'\nsecret = 'whsec_AA=='", "3:10", "env:NAME"),
        ("listen = ", "1:10", "string"),
    ];
    for (text, place, says) in cases {
        let (at, why) = wrong(text);
        assert!(why.contains(says) && !why.contains('\n'), "{text}: {why}");
        assert_eq!(at, place, "{text}: {why}");
    }
}
