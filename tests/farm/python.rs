//! The Python package: its own tests, with the real program, and its types.

use std::process::Command;

use crate::tools::tool;

const PROJECT: &str = env!("CARGO_MANIFEST_DIR");

fn passes(command: &mut Command) {
    let out = command.current_dir(PROJECT).output().unwrap();
    let told = [out.stdout, out.stderr].concat();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&told));
}

#[test]
fn the_packages_own_tests_pass() {
    let Some(python) = tool("python") else { return };
    let folder = tempfile::tempdir().unwrap();
    passes(
        Command::new(python)
            .args(["-m", "unittest", "discover", "-s", "python/tests"])
            .env("LONGTAKE", env!("CARGO_BIN_EXE_longtake"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("TMPDIR", folder.path()),
    );
}

#[test]
fn the_package_is_strictly_typed() {
    let Some(mypy) = tool("mypy") else { return };
    let cache = concat!(env!("CARGO_TARGET_TMPDIR"), "/mypy");
    passes(Command::new(mypy).args(["--strict", "--cache-dir", cache, "python/longtake"]));
    // Nothing newer than Python 3.9 knows.
    let Some(python) = tool("python") else { return };
    let script = "import ast, pathlib
for path in pathlib.Path('python/longtake').glob('*.py'):
    ast.parse(path.read_text(), feature_version=(3, 9))";
    passes(Command::new(python).args(["-c", script]));
}
