use super::*;

fn asked(what: &str) -> AuditRequest {
    AuditRequest {
        who: Some("ada".into()),
        from: None,
        what: what.to_owned(),
        why: Some("x".repeat(5_000)),
    }
}

#[tokio::test]
async fn pages_show_every_line_once_newest_first() {
    let directory = tempfile::tempdir().unwrap();
    let audit = Arc::new(Audit::open(directory.path().join("audit.jsonl")).unwrap());
    for nth in 0..600 {
        audit.asked(asked(&nth.to_string())).await.unwrap();
    }
    // More than one window: the lines are longer than a page looks at.
    assert!(std::fs::metadata(&audit.file).unwrap().len() > 2 * WINDOW);
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let page = audit.page(before, 150).await.unwrap();
        assert!(page.entries.len() <= 150);
        seen.extend(page.entries.iter().map(|entry| entry["what"].as_str().unwrap().to_owned()));
        match page.next {
            Some(next) => before = Some(next.parse().unwrap()),
            None => break,
        }
    }
    let all: Vec<_> = (0..600).rev().map(|nth| nth.to_string()).collect();
    assert_eq!(seen, all);
}

#[tokio::test]
async fn what_a_crash_left_of_a_line_harms_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("audit.jsonl");
    std::fs::write(&file, "{\"at\": 1}\n{\"at\": 2, \"wh").unwrap();
    let audit = Arc::new(Audit::open(file).unwrap());
    let action = audit.asked(asked("next")).await.unwrap();
    audit.ended(action, asked("next"), 409).await.unwrap();
    let entries = audit.page(None, 100).await.unwrap().entries;
    assert_eq!(entries[0]["outcome"], "failed");
    assert_eq!((&entries[0]["action"], &entries[0]["status"]), (&action.into(), &409.into()));
    assert_eq!((&entries[1]["what"], &entries[1]["outcome"]), (&"next".into(), &"asked".into()));
    assert_eq!(entries[1]["why"].as_str().map(str::len), Some(TEXT_LIMIT));
    assert_eq!(entries[2]["unreadable"], "{\"at\": 2, \"wh");
    assert_eq!(entries[3]["at"], 1);
}

#[tokio::test]
async fn only_so_many_refusals_are_written_and_the_others_counted() {
    let directory = tempfile::tempdir().unwrap();
    let audit = Arc::new(Audit::open(directory.path().join("audit.jsonl")).unwrap());
    for _ in 0..1_000 {
        audit.refused(asked("guess"), 401);
    }
    assert_eq!(audit.unwritten.load(Ordering::Relaxed), 1_000 - u64::from(REFUSALS.burst));
}

#[tokio::test]
async fn what_cannot_be_written_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("audit.jsonl");
    let audit = Arc::new(Audit::open(file.clone()).unwrap());
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    assert!(audit.asked(asked("x")).await.is_err());
    assert!(Audit::open(file).is_err());
}
