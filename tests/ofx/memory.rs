//! Our bundle in the host under valgrind. Slow, so it is run by name:
//! `cargo xtask valgrind`.

use crate::support::Host;
use crate::support::plate::Plate;

#[test]
#[ignore = "slow; run `cargo xtask valgrind`"]
fn valgrind_finds_no_error() {
    let plate = Plate::water(32, 24, 1001, 12);
    let suppressions = concat!(
        "--suppressions=",
        env!("CARGO_MANIFEST_DIR"),
        "/tests/host/valgrind.supp"
    );
    for like in ["plain", "natron", "melt"] {
        let host = Host::longtake(like).clip("Source", &plate);
        let host = if like == "melt" {
            host.set("plate", plate.pattern())
        } else {
            host
        };
        let run = host
            .set("frames", "1001,1024")
            .opt("threads", 2)
            .opt("rows", "negative-padded")
            .opt("margin", 1)
            .opt("tiles", "20,20")
            .render("1001,1015,1024")
            .flag("destroy")
            .under(&[
                "valgrind",
                "--quiet",
                "--error-exitcode=99",
                "--leak-check=full",
                "--errors-for-leak-kinds=definite",
                "--show-leak-kinds=definite",
                suppressions,
            ])
            .run()
            .good();
        assert!(run.errors.is_empty(), "{like}: {run:?}");
    }
}
