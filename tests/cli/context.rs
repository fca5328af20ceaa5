//! `opsctl context`.

use crate::world::World;

#[test]
fn the_built_in_contexts_are_there() {
    World::new()
        .line("context list")
        .run()
        .stdout(concat!(
            "   NAME     URL                    ENVIRONMENT  PROTECTION\n",
            "*  local    http://localhost:3000  -            confirm\n",
            "   sandbox  not running            sandbox      confirm\n",
        ))
        .stderr("")
        .code(0);
}

#[test]
fn a_context_is_added_used_and_removed_and_comments_stay() {
    let world = World::configured("# kept\noutput = \"table\" # kept, too\n");
    let add = "context add prod-eu --url https://ops.example --token-env OPS_TOKEN --environment production";
    world.line(add).run().stdout("~/config/config.toml now has the context prod-eu\n").code(0);
    world.line(add).run().stdout("~/config/config.toml already has the context prod-eu\n").code(0);
    world.line("context use prod-eu").run().stdout("prod-eu is now the default (https://ops.example)\n").code(0);
    world.line("context use prod-eu").run().stdout("prod-eu is already the default (https://ops.example)\n").code(0);
    assert_eq!(
        world.read("config/config.toml"),
        concat!(
            "# kept\noutput = \"table\" # kept, too\ncontext = \"prod-eu\"\n\n",
            "[contexts.prod-eu]\nurl = \"https://ops.example\"\nenvironment = \"production\"\n",
            "credential = { env = \"OPS_TOKEN\" }\n",
        )
    );
    let shown = world.line("context show -o json").run().code(0).json();
    assert_eq!((&shown["name"], &shown["chosenBy"]), (&"prod-eu".into(), &"config.toml".into()));
    let done = world.line("context remove prod-eu").run().stdout("").code(6);
    assert!(done.stderr.contains("is the default context"), "{done:?}");
    world.line("context use local").run().code(0);
    world.line("context remove prod-eu").run().stdout("the context prod-eu is removed\n").code(0);
    world.line("context show prod-eu").run().code(5);
}

#[test]
fn the_flag_beats_the_variable_beats_the_file() {
    let world = World::configured(concat!(
        "context = \"one\"\n[contexts.one]\nurl = \"http://one\"\n[contexts.two]\nurl = \"http://two\"\n",
        "[contexts.three]\nurl = \"http://three\"\n"
    ));
    let current = |run: crate::world::Run| {
        let shown = run.run().code(0).json();
        (shown["name"].as_str().unwrap().to_owned(), shown["chosenBy"].as_str().unwrap().to_owned())
    };
    let pair = |name: &str, by: &str| (name.to_owned(), by.to_owned());
    assert_eq!(current(world.line("context show -o json")), pair("one", "config.toml"));
    let variable = || world.line("context show -o json").env("OPSCTL_CONTEXT", "two");
    assert_eq!(current(variable()), pair("two", "OPSCTL_CONTEXT"));
    let both = world.line("context show -o json --context three").env("OPSCTL_CONTEXT", "two");
    assert_eq!(current(both), pair("three", "command line"));
}

#[test]
fn what_cannot_be_added_is_refused_and_nothing_is_written() {
    let world = World::new();
    for (line, code, part) in [
        ("context add eu --url ftp://x", 2, "only http and https"),
        ("context add eu --url https://ana:s3cret@x", 2, "it holds a user name or password"),
        ("context add eu --url https://x --token s3cret", 2, "could be read by everybody"),
        ("context add eu", 2, "--url <URL> is missing"),
        ("context add sandbox --url https://x", 2, "that context is built in"),
        ("context add a/b --url https://x", 2, "cannot be a context's name"),
        ("context add eu --url https://x --protection maybe", 2, "is not one of confirm, read-only"),
        ("context use nowhere", 5, "there is no context `nowhere`"),
        ("context use sandbx", 5, "did you mean `sandbox`?"),
        ("context remove local", 6, "built in"),
    ] {
        let done = world.line(line).run().stdout("").code(code);
        assert!(done.stderr.contains(part), "{line}: {done:?}");
        assert!(!done.stderr.contains("s3cret"), "{line}: {done:?}");
    }
    assert!(!world.path("config/config.toml").exists());
}
