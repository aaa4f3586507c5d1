//! A machine that has never seen Windlass: the built binary alone, in an empty directory, shows the whole product and
//! cleans up after itself.

use crate::support::{Launcher, Place, by_both_launchers};

by_both_launchers! {
    the_demo_works_from_the_binary_alone_and_cleans_up
}

fn the_demo_works_from_the_binary_alone_and_cleans_up(place: &Place) {
    let mut arguments = vec!["demo"];
    if place.launcher() == Launcher::Process {
        arguments.extend(["--runner", "process"]);
    }
    let done = place.ok(&arguments);
    let said = format!("{}{}", done.stdout, done.stderr);
    assert!(said.contains("windlass "), "it says how to go on\n{done}");
    assert!(
        said.contains(".html"),
        "it ends in something to look at\n{done}"
    );

    // Again: everything is there already.
    place.ok(&arguments);

    place.ok(["demo", "--destroy"]);
    assert_eq!(
        place.containers(),
        Vec::<String>::new(),
        "no container is left behind"
    );
    assert!(
        place.processes().is_empty(),
        "no process is left behind: {:?}",
        place.processes()
    );
}
