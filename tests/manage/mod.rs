//! Looking after what is there: what takes room, what can go, networks of one's own, and docker's
//! longer names for the same verbs.

use crate::harness::Sandbox;

#[test]
fn only_containers_that_do_not_run_are_pruned() {
    let box_ = Sandbox::new();
    let up = box_.run("run -d --network none --name up busybox sleep 60").success().line().to_owned();
    let one = box_.wharf([
        "run",
        "--network",
        "none",
        "--name",
        "one",
        "busybox",
        "sh",
        "-c",
        "head -c 5000 /dev/zero > /f",
    ]);
    one.success();
    let gone = box_.run("create --name two --label keep=no busybox").success().line().to_owned();
    box_.wharf_with(["container", "prune"], b"n\n")
        .success()
        .shows("WARNING! This will remove all stopped containers.");
    box_.run("container prune -f --filter label=keep=yes").success().prints("Total reclaimed space: 0B\n");
    box_.run("container prune -f --filter until=1h").success().prints("Total reclaimed space: 0B\n");
    box_.run("container prune -f --filter nonsense=1").fails(1).says("nonsense");
    let pruned = box_.wharf_with(["container", "prune"], b"y\n").success();
    pruned
        .clone()
        .shows("Deleted Containers:\n")
        .shows(&gone)
        .shows("Total reclaimed space: 5kB\n")
        .without(&up);
    box_.run("container ls -aq --no-trunc").success().prints(&format!("{up}\n"));
    box_.run("container prune -f").success().prints("Total reclaimed space: 0B\n");

    box_.run("create --name three --label keep busybox").success();
    let four = box_.run("create --name four busybox").success().line().to_owned();
    box_.run("container prune -f --filter label!=keep").success().shows(&format!("{four}\n\nTotal"));
    box_.run("inspect -f {{.Name}} three").success();
}

#[test]
fn images_go_without_a_name_first_and_with_all_when_no_container_needs_them() {
    let box_ = Sandbox::new();
    let first = box_.build("x", "FROM busybox\nRUN echo first > /file\n");
    let id = box_.inspect("x", "{{.Id}}");
    drop(first);
    box_.build("x", "FROM busybox\nRUN echo second > /file\n");
    box_.build("kept", "FROM busybox\nLABEL a=1\n");
    box_.run("create --name c kept").success();
    box_.run("image prune -f")
        .success()
        .shows(&format!("Deleted Images:\ndeleted: {id}\n"))
        .shows("Total reclaimed space: 0B\n");
    box_.run("image prune -f").success().prints("Total reclaimed space: 0B\n");
    let all = box_.run("image prune --all --force").success();
    all.shows("untagged: x:latest\n").shows("untagged: busybox:latest\n").without("kept");
    assert_eq!(box_.wharf(["images", "--format", "{{.Repository}}"]).stdout, "kept\n");
    // Its layers are still there, and the build cache still knows the steps.
    box_.run("start -a c").success();
}

#[test]
fn what_a_prune_frees_is_an_event() {
    let box_ = Sandbox::new();
    box_.run("run --network none busybox true").success();
    box_.run("volume create v").success();
    box_.run("system prune --all --volumes --force").success();
    let told = box_.run("events --since 10m --until 0s --filter event=prune").success();
    for kind in ["container", "network", "volume", "image"] {
        assert!(told.stdout.contains(&format!(" {kind} prune  (reclaimed=")), "{kind}: {told}");
    }
}

#[test]
fn the_build_cache_gives_its_room_back() {
    let box_ = Sandbox::new();
    let text = "FROM busybox\nRUN head -c 30000 /dev/urandom > /big\n";
    box_.build("big", text);
    box_.build("big", text).says("CACHED");
    box_.run("builder prune -f").success().prints("Total reclaimed space: 0B\n");
    box_.build("big", text).says("CACHED");
    box_.run("rmi big").success();
    assert!(box_.run("system df").success().line_with("Build Cache").ends_with("30kB     30kB"));
    let pruned = box_.run("builder prune -f").success();
    pruned.shows("Deleted build cache objects:\n").shows("Total reclaimed space: 30kB\n");
    box_.build("big", text).without("CACHED");
    box_.run("builder prune --all --force").success().prints("Total reclaimed space: 0B\n");
    box_.build("big", text).without("CACHED");
    assert!(box_.in_image("big", "ls /").contains("big"));
}

#[test]
fn volumes_without_a_name_go_first() {
    let box_ = Sandbox::new();
    box_.run("volume create named").success();
    box_.run("run --network none -v named:/n -v /anonymous --name c busybox sh -c true").success();
    box_.run("volume prune -f --all").success().prints("Total reclaimed space: 0B\n");
    let anonymous = box_.inspect("c", "{{range .Mounts}}{{.Name}} {{end}}").replace("named", "");
    box_.run("rm c").success();
    box_.run("volume prune -f")
        .success()
        .shows(&format!("Deleted Volumes:\n{}\n", anonymous.trim()))
        .without("named");
    box_.run("volume prune -f --all").success().shows("Deleted Volumes:\nnamed\n");
    box_.run("volume ls -q").success().prints("");
}

#[test]
fn what_takes_room_is_told_in_short_and_in_detail() {
    let box_ = Sandbox::new();
    box_.run("run -d --network none --name up busybox sleep 60").success();
    box_.run("volume create v").success();
    let short = box_.run("system df").success();
    assert_eq!(short.stdout.lines().next(), Some("TYPE            TOTAL   ACTIVE   SIZE     RECLAIMABLE"));
    assert!(
        short.line_with("Images").contains("1       1") && short.line_with("Images").ends_with("0B (0%)")
    );
    assert!(short.line_with("Containers").contains("1       1"));
    assert!(short.line_with("Local Volumes").contains("1       0"));
    let lines = box_.wharf(["system", "df", "--format", "{{.Type}}: {{.TotalCount}}"]).success();
    lines.prints("Images: 1\nContainers: 1\nLocal Volumes: 1\nBuild Cache: 0\n");
    let objects = box_.run("system df --format json").success();
    let first: serde_json::Value = serde_json::from_str(objects.stdout.lines().next().unwrap()).unwrap();
    assert_eq!((&first["Type"], &first["Active"]), (&"Images".into(), &"1".into()), "{first}");
    let all = box_.run("system df -v --format json").success().json();
    assert_eq!(all["Images"][0]["Repository"], "busybox");
    assert_eq!(all["Images"][0]["Containers"], "1");
    assert_eq!(
        (&all["Containers"][0]["Names"], &all["Containers"][0]["State"]),
        (&"up".into(), &"running".into())
    );
    assert_eq!((&all["Volumes"][0]["Name"], &all["Volumes"][0]["Links"]), (&"v".into(), &"0".into()));
    assert!(all["BuildCache"].as_array().unwrap().is_empty(), "{all}");
    let format = "{{range .Volumes}}{{.Name}}={{.Links}}{{end}}";
    box_.wharf(["system", "df", "-v", "--format", format]).success().prints("v=0\n");
    let long = box_.run("system df -v").success();
    long.shows("Images space usage:")
        .shows("Containers space usage:")
        .shows("Local Volumes space usage:")
        .shows("up");
}

#[test]
fn everything_that_nobody_uses_goes_at_once() {
    let box_ = Sandbox::new();
    box_.build("x", "FROM busybox\nRUN --network=none echo x > /x\n");
    box_.run("run --network none --name done x true").success();
    box_.run("network create mine").success();
    box_.wharf_with(["system", "prune", "--all", "--volumes"], b"\n").success().shows(
        "WARNING! This will remove:\n  - all stopped containers\n  - all networks not used by at least one container\n  \
         - all anonymous volumes not used by at least one container\n  \
         - all images without at least one container associated to them\n  - all build cache\n\n\
         Are you sure you want to continue? [y/N] ",
    );
    box_.run("create --name keeps busybox").success();
    let pruned = box_.run("system prune -f --all").success();
    pruned.shows("Deleted Containers:\n").shows("Deleted Networks:\nmine\n").shows("Total reclaimed space: ");
    // `keeps` did not run either.
    box_.run("ps -aq").success().prints("");
    box_.run("images -q").success().prints("");
}

#[test]
fn docker_s_longer_names_do_the_same() {
    let box_ = Sandbox::new();
    box_.run("container run --rm --network none busybox echo hello").success().prints("hello\n");
    box_.write("Dockerfile", "FROM busybox\nCMD [\"true\"]\n");
    box_.run("image build -q -t x .").success();
    box_.run("image tag x y").success();
    assert_eq!(box_.run("image ls").stdout, box_.run("images").stdout);
    let id = box_.run("image inspect -f {{.Id}} y").success();
    assert_eq!(id.stdout.trim(), box_.inspect("x", "{{.Id}}"));
    box_.run("image history x").success().shows("CMD [\"true\"]");
    box_.run("container create --name c x").success();
    box_.run("container inspect -f {{.Name}} c").success().prints("/c\n");
    box_.run("container inspect x").fails(1).says("No such container: x").prints("[]\n");
    box_.run("image inspect c").fails(1).prints("[]\n");
    box_.run("container start -a c").success();
    box_.run("container rm c").success().prints("c\n");
    box_.run("image rm y").success().prints("Untagged: y:latest\n");
    assert_eq!(box_.run("system info").success().stdout, box_.run("info").stdout);
}

#[test]
fn a_network_of_one_s_own_has_its_own_addresses() {
    let box_ = Sandbox::new();
    let id = box_.run("network create --subnet 10.231.7.0/24 mine").success().line().to_owned();
    assert!(box_.run("network ls").success().line_with("mine").starts_with(&id[..12]));
    for name in ["bridge", "host", "none"] {
        box_.run("network ls").success().line_with(name);
    }
    let run = "run -d --network mine --name c busybox sleep 60";
    box_.run(run).success();
    assert_eq!(box_.inspect("c", "{{.NetworkSettings.Networks.mine.IPAddress}}"), "10.231.7.2");
    let subnet = box_.wharf(["network", "inspect", "-f", "{{range .IPAM.Config}}{{.Subnet}}{{end}}", "mine"]);
    subnet.success().prints("10.231.7.0/24\n");
    box_.run("network inspect mine").success().shows("\"Name\": \"c\"").shows("10.231.7.2/24");
    box_.run("network rm mine").fails(1).says("has active endpoints");
    box_.run("network prune -f").success().prints("");
    for (line, words) in [
        ("network create mine", "network with name mine already exists"),
        ("network create --subnet 10.231.0.0/16 other", "overlaps with that of network `mine`"),
        ("network create --subnet 10.9.0.0/24 --gateway 10.8.0.1 other", "gateway 10.8.0.1 is not in subnet"),
        ("network create --subnet nonsense other", "nonsense"),
        ("network create --driver nonsense other", "nonsense"),
        ("network create bridge", "network with name bridge already exists"),
        ("network rm bridge", "bridge is a pre-defined network and cannot be removed"),
        ("network rm nothing", "network `nothing` not found"),
    ] {
        box_.run(line).fails(1).says(words);
    }
    box_.run("rm -f c").success();
    let link = format!("/sys/class/net/wh-{}", &id[..12]);
    assert!(std::path::Path::new(&link).exists());
    box_.run("network rm mine").success().prints("mine\n");
    assert!(!std::path::Path::new(&link).exists());
    box_.run("run --rm --network mine busybox true").fails(125).says("mine");
}

#[test]
fn the_build_cache_can_be_listed_and_kept_small() {
    let box_ = Sandbox::new();
    let step = |name: &str| format!("FROM busybox\nRUN head -c 30000 /dev/urandom > /{name}\n");
    for name in ["one", "two"] {
        box_.write("Dockerfile", step(name));
        box_.run("build -o type=cacheonly .").success();
        // A use is known to the second.
        std::thread::sleep(std::time::Duration::from_millis(1100));
    }
    let listed = box_.run("builder du").success();
    assert!(listed.line_with("> /one").contains("30kB"), "{listed}");
    listed.shows("Reclaimable:\t60kB\n");
    box_.run("builder prune -f --filter until=1h").success().prints("Total reclaimed space: 0B\n");
    box_.run("builder prune -f --filter label=x").fails(1).says("no labels");
    box_.run("builder prune -f --keep-storage 40k").success().shows("Total reclaimed space: 30kB\n");
    box_.run("buildx du").success().shows("> /two").without("> /one");
    box_.config("[engine]\nbuild-cache = \"40kB\"\n");
    box_.write("Dockerfile", step("three"));
    box_.run("build -o type=cacheonly .").success();
    box_.run("builder du --verbose").success().shows("> /three").without("> /two");
    // What an image stands on is not counted and stays.
    box_.config("[engine]\nbuild-cache = \"1kB\"\n");
    box_.build("kept", &step("three")).says("CACHED");
    box_.build("kept", &step("three")).says("CACHED");
}
