use tempfile::tempdir;

use super::*;
use crate::definition::read;

fn definition(name: &str, version: u32, compensation: &str) -> Graph {
    let text = format!(
        r#"{{"name":{name:?},"version":{version},"steps":[
            {{"name":"a","participant":"p","compensation":"{compensation}","payload": {{"a b": "\" "}} }}]}}"#
    );
    read(&text, Format::Json).unwrap()
}

fn store(sagas: &Sagas, name: &str, version: u32, compensation: &str) -> Result<Stored, String> {
    sagas.store(definition(name, version, compensation)).map_err(|error| error.to_string())
}

fn visible(folder: &Path) -> Vec<String> {
    let name = |file: PathBuf| file.file_name().unwrap().to_str().unwrap().to_owned();
    files(folder).unwrap().into_iter().map(name).collect()
}

#[test]
fn what_is_stored_is_there_after_a_restart() {
    let folder = tempdir().unwrap();
    let sagas = Sagas::load(folder.path().to_owned()).unwrap();
    assert_eq!(store(&sagas, "create order", 1, "undo"), Ok(Stored::New));
    assert_eq!(store(&sagas, "create order", 2, "redo"), Ok(Stored::New));
    assert_eq!(store(&sagas, "Create/Order", 1, "undo"), Ok(Stored::New));
    for sagas in [&sagas, &Sagas::load(folder.path().to_owned()).unwrap()] {
        let newest = sagas.get("create order", None).unwrap();
        assert_eq!(*newest, definition("create order", 2, "redo"));
        let first = sagas.get("create order", Some(1)).unwrap();
        assert_eq!(*first, definition("create order", 1, "undo"));
        assert_eq!(sagas.all().len(), 3);
        assert!(sagas.get("create order", Some(3)).is_none());
        assert!(sagas.get("order", None).is_none());
    }
    let names = ["create-order-v1-2.json", "create-order-v1.json", "create-order-v2.json"];
    assert_eq!(visible(folder.path()), names);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "nothing is left behind");
}

#[test]
fn a_version_never_changes() {
    let folder = tempdir().unwrap();
    let sagas = Sagas::load(folder.path().to_owned()).unwrap();
    store(&sagas, "s", 7, "undo").unwrap();
    assert_eq!(store(&sagas, "s", 7, "undo"), Ok(Stored::Same));
    let spaced = definition("s", 7, "undo").definition().clone();
    let spaced = serde_json::to_string_pretty(&spaced).unwrap().replace(": {", ":\n{");
    assert_eq!(sagas.store(read(&spaced, Format::Json).unwrap()).unwrap(), Stored::Same);
    // In a text white space counts, also after a quote that does not end it.
    for other in [spaced.replace("a b", "ab"), spaced.replace(r#"\" "#, r#"\"  "#)] {
        assert_ne!(other, spaced);
        let error = sagas.store(read(&other, Format::Json).unwrap()).unwrap_err();
        assert!(matches!(error, StoreError::Differs { next: 8, .. }));
    }
    assert_eq!(
        store(&sagas, "s", 7, "redo").unwrap_err(),
        "version 7 of \"s\" is stored with another definition; store this one as version 8"
    );
    assert_eq!(visible(folder.path()), ["s-v7.json"]);
}

#[test]
fn nothing_is_stored_without_a_folder() {
    let error = store(&Sagas::default(), "s", 1, "undo").unwrap_err();
    assert_eq!(error, "this server stores no definitions; start it with --sagas DIR");
    let folder = tempdir().unwrap();
    let gone = folder.path().join("gone");
    fs::create_dir(&gone).unwrap();
    let sagas = Sagas::load(gone.clone()).unwrap();
    fs::remove_dir(&gone).unwrap();
    assert!(store(&sagas, "s", 1, "undo").unwrap_err().contains("cannot be stored"));
    assert!(sagas.all().is_empty());
    assert!(matches!(Sagas::load(gone), Err(LoadError::Unreadable { .. })));
}

#[test]
fn what_is_hidden_or_no_definition_is_passed_over() {
    let folder = tempdir().unwrap();
    for name in [".s-v1.json", ".s.unfinished", "README.md", "s.json~", "old.JSON"] {
        fs::write(folder.path().join(name), "nothing").unwrap();
    }
    assert!(Sagas::load(folder.path().to_owned()).unwrap().all().is_empty());
}
