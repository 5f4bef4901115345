//! Real Docker Compose on a real engine, with an image made from scratch of a program of our own. Needs `dockerd` (Debian: docker.io,
//! docker-compose) and root; loudly skipped where an engine can't be started. Nothing is fetched, and no rule of a firewall is touched.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::finish;
use crate::switches::Scene;

/// Answers every request on a port of loopback with 200 until it is told to stop.
const SERVER: &str = r#"
#include <arpa/inet.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
static void stop(int number) { _exit(0); }
int main(int count, char **words) {
  signal(SIGTERM, stop);
  if (count < 2) for (;;) pause();
  struct sockaddr_in place = { .sin_family = AF_INET, .sin_port = htons(atoi(words[1])) };
  place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int yes = 1, server = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (bind(server, (struct sockaddr *)&place, sizeof place) || listen(server, 8)) return 1;
  for (;;) {
    char request[4096];
    int client = accept(server, 0, 0);
    if (client < 0) continue;
    if (read(client, request, sizeof request) > 0) {
      static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
      if (write(client, answer, sizeof answer - 1) < 0) { }
    }
    close(client);
  }
}
"#;

/// An engine of its own, ended and removed when dropped.
struct Engine {
    daemon: Child,
    folder: tempfile::TempDir,
}

/// Where the Docker client finds the plugin that `tests/run.sh` has unpacked, if this machine has none of its own.
fn plugins() -> Option<(&'static str, String)> {
    std::env::var("PORTCULLIS_TEST_DOCKER_CONFIG").ok().map(|folder| ("DOCKER_CONFIG", folder))
}

fn skipped(why: &str) {
    println!("SKIPPED: {why}, so that real Compose was not tried");
}

impl Engine {
    fn start() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            skipped("an engine is started by root only");
            return None;
        }
        let folder = tempfile::Builder::new().prefix("portcullis-docker.").tempdir_in("/tmp").unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let log = fs::File::create(at("log")).unwrap();
        let daemon = Command::new("dockerd")
            .args(["--data-root", &at("data"), "--exec-root", &at("run"), "--pidfile", &at("pid")])
            .args(["--host", &format!("unix://{}", at("socket")), "--storage-driver=vfs"])
            .args(["--iptables=false", "--ip6tables=false", "--bridge=none"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        let Ok(daemon) = daemon else {
            skipped("there is no dockerd (Debian: docker.io, docker-compose)");
            return None;
        };
        let mut engine = Self { daemon, folder };
        let began = Instant::now();
        while !engine.docker(&["info"]).output().is_ok_and(|output| output.status.success()) {
            if engine.daemon.try_wait().unwrap().is_some() || began.elapsed() > Duration::from_mins(1) {
                let log = fs::read_to_string(engine.folder.path().join("log")).unwrap_or_default();
                skipped(&format!("no engine can run here ({})", log.lines().last().unwrap_or_default()));
                return None;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Some(engine)
    }

    fn host(&self) -> String {
        format!("unix://{}", self.folder.path().join("socket").display())
    }

    fn docker(&self, words: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.env("DOCKER_HOST", self.host()).args(words);
        command
    }

    /// Makes the image `portcullis-test` of one static program, from scratch.
    fn image(&self) -> bool {
        let source = self.folder.path().join("server.c");
        fs::write(&source, SERVER).unwrap();
        let mut compiler = Command::new("cc");
        let built = compiler.args(["-static", "-O1", "-w", "-o", "server", "server.c"]).current_dir(self.folder.path());
        let packed = built.status().is_ok_and(|status| status.success())
            && Command::new("tar")
                .args(["cf", "image.tar", "server"])
                .current_dir(self.folder.path())
                .status()
                .unwrap()
                .success();
        if !packed {
            skipped("no static program can be made (Debian: gcc, libc6-dev)");
            return false;
        }
        let tar = self.folder.path().join("image.tar").display().to_string();
        self.docker(&["import", "-c", "ENTRYPOINT [\"/server\"]", &tar, "portcullis-test"])
            .output()
            .unwrap()
            .status
            .success()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.daemon.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(20) && self.daemon.try_wait().is_ok_and(|ended| ended.is_none()) {
            std::thread::sleep(Duration::from_millis(100));
        }
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// A project with a back end that answers and a second service, brought up.
struct Project<'a> {
    engine: &'a Engine,
    program: &'static [&'static str],
    folder: PathBuf,
    name: String,
}

impl<'a> Project<'a> {
    fn up(engine: &'a Engine, program: &'static [&'static str], folder: &Path, port: u16) -> Self {
        // The network of this machine: the engine has no other, and the server listens on loopback only.
        let file = format!(
            "version: \"2.4\"\nservices:\n  backend:\n    image: portcullis-test\n    command: [\"{port}\"]\n    network_mode: host\n  \
             worker:\n    image: portcullis-test\n    network_mode: none\n"
        );
        fs::write(folder.join("docker-compose.yml"), file).unwrap();
        let name = format!("portcullis{}", std::process::id());
        let project = Self { engine, program, folder: folder.to_owned(), name };
        assert!(project.compose(&["up", "-d"]), "{program:?} up");
        project
    }

    fn compose(&self, words: &[&str]) -> bool {
        let mut command = Command::new(self.program[0]);
        command.args(&self.program[1..]).args(["--project-name", &self.name]).args(words);
        command
            .envs(plugins())
            .env("DOCKER_HOST", self.engine.host())
            .current_dir(&self.folder)
            .output()
            .unwrap()
            .status
            .success()
    }

    fn running(&self) -> Vec<String> {
        let names =
            self.engine.docker(&["ps", "--format", "{{.Label \"com.docker.compose.service\"}}"]).output().unwrap();
        let mut names: Vec<_> = String::from_utf8(names.stdout).unwrap().lines().map(str::to_owned).collect();
        names.sort();
        names
    }
}

impl Drop for Project<'_> {
    fn drop(&mut self) {
        self.compose(&["down", "--timeout", "1"]);
    }
}

fn tried(program: &'static [&'static str], version: &str) {
    let found = Command::new(program[0]).args(&program[1..]).arg("version").envs(plugins()).output();
    if !found.is_ok_and(|output| output.status.success()) {
        let from = "Debian: docker-compose, of 12 for v1, of 13 for v2; tests/run.sh fetches the latter";
        return skipped(&format!("there is no `{}` ({from})", program.join(" ")));
    }
    let Some(engine) = Engine::start().filter(Engine::image) else { return };
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let switch = format!(
        "{{ kind: compose, name: it, services: [worker], project: portcullis{}, version: {version} }}",
        std::process::id()
    );
    let mut scene = Scene::new(&switch);
    scene.env.push(("DOCKER_HOST", engine.host()));
    scene.env.extend(plugins());
    let root = scene.root.path().to_owned();
    let project = Project::up(&engine, program, &root, port);
    // The switch: one service is stopped and the other runs on.
    assert_eq!(scene.status(), "released");
    let (outcome, detail) = scene.pause();
    assert_eq!((outcome.as_str(), scene.status().as_str()), ("done", "engaged"), "{detail}");
    assert_eq!(project.running(), ["backend"]);
    // The services of a recovery: stopped, started again and asked for their health, by the deployment's own words.
    let words = |verb: &str| {
        let words = program.iter().copied().chain(["--project-name", project.name.as_str(), verb, "backend"]);
        format!("[{}]", words.map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", "))
    };
    let service = format!(
        "version: 1\nservices:\n  - name: backend\n    restart: {}\n    stop: {}\n    health: http://127.0.0.1:{port}/health\ncredentials: []\n",
        words("restart"),
        words("stop")
    );
    fs::write(root.join("policies/credentials.yml"), service).unwrap();
    fs::write(root.join("policies/recovery.yml"), "version: 1\nrpo_minutes: 100000000\nservices: [backend]\n").unwrap();
    let ran = finish(
        crate::support::program(&root)
            .env("DATABASE_URL", "file:./trading.db")
            .envs(scene.env.clone())
            .args(["--format", "json", "recover", "database", "--yes"]),
    );
    let steps = ran.of_type("step");
    let outcome = |end: &str| {
        let step = steps.iter().find(|step| step["id"].as_str().unwrap().ends_with(end));
        step.unwrap_or_else(|| panic!("{end}: {ran:?}"))["outcome"].as_str().unwrap().to_owned()
    };
    assert_eq!((outcome(".stop.backend").as_str(), outcome(".start.backend").as_str()), ("done", "done"), "{ran:?}");
    assert_eq!(project.running(), ["backend"]);
    let listed = ran.of_type("checklist").into_iter().find(|item| item["item"] == "service backend").unwrap();
    assert_eq!(listed["done"], true, "{listed}");
}

#[test]
fn compose_1_stops_and_restarts_real_containers() {
    tried(&["docker-compose"], "v1");
}

#[test]
fn compose_2_stops_and_restarts_real_containers() {
    tried(&["docker", "compose"], "v2");
}
