//! A scan as a job array of a real Slurm on this host: its daemons run in a folder of their own and are stopped by pid.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::peers::optional;
use crate::support::run;

/// munge, the controller and one node.
struct Slurm {
    /// Where Debian's packages were unpacked.
    packages: PathBuf,
    folder: tempfile::TempDir,
    running: Vec<Child>,
}

fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn host() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    name.trim().split('.').next().unwrap().to_owned()
}

impl Slurm {
    fn start() -> Option<Self> {
        let packages = PathBuf::from(optional("PORTCULLIS_TEST_SLURM")?);
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        for name in ["state", "spool"] {
            fs::create_dir(at.join(name)).unwrap();
        }
        // munge wants a folder that others may look into, and a key that they may not.
        fs::set_permissions(at, fs::Permissions::from_mode(0o755)).unwrap();
        let key: Vec<u8> = (0..1_024_u32).map(|n| u8::try_from(n * 7 % 251).unwrap()).collect();
        fs::write(at.join("munge.key"), key).unwrap();
        fs::set_permissions(at.join("munge.key"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(at.join("slurm.conf"), configuration(&packages, at)).unwrap();
        let mut slurm = Self { packages, folder, running: Vec::new() };
        let file = |name: &str| format!("{}/{name}", slurm.folder.path().display());
        let options = [
            ("key-file", "munge.key"),
            ("socket", "munge.socket"),
            ("pid-file", "munge.pid"),
            ("log-file", "munge.log"),
            ("seed-file", "munge.seed"),
        ];
        let mut munge: Vec<String> =
            options.iter().map(|(option, name)| format!("--{option}={}", file(name))).collect();
        munge.extend(["--foreground".into(), "--force".into()]);
        let stepd = slurm.packages.join("usr/sbin/slurmstepd-wlm").display().to_string();
        let node = vec!["-D".into(), "-c".into(), "-d".into(), stepd, "-N".into(), host()];
        for (program, words) in
            [("munged", munge), ("slurmctld-wlm", vec!["-D".into(), "-c".into()]), ("slurmd-wlm", node)]
        {
            let child = slurm
                .command(&format!("usr/sbin/{program}"))
                .args(&words)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn();
            slurm.running.push(child.unwrap());
            if program == "munged" {
                slurm.until("munge to listen", || slurm.folder.path().join("munge.socket").exists());
            }
        }
        slurm.until("the node to be idle", || slurm.asks("sinfo", &["-h", "-o", "%T"]).contains("idle"));
        Some(slurm)
    }

    /// A program of the packages.
    fn command(&self, program: &str) -> Command {
        let libraries = self.packages.join("usr/lib/x86_64-linux-gnu");
        let mut command = Command::new(self.packages.join(program));
        command
            .env("LD_LIBRARY_PATH", format!("{0}:{0}/slurm-wlm", libraries.display()))
            .env("SLURM_CONF", self.folder.path().join("slurm.conf"))
            .stdin(Stdio::null());
        command
    }

    fn asks(&self, program: &str, words: &[&str]) -> String {
        let output = self.command(&format!("usr/bin/{program}")).args(words).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let began = Instant::now();
        while !holds() {
            let logs = ["slurmctld.log", "slurmd.log", "munge.log"]
                .map(|name| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default());
            assert!(began.elapsed() < Duration::from_mins(1), "waited for {what}: {}", logs.join("\n"));
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Runs a script as an array to its end.
    fn array(&self, tasks: &str, script: &str) {
        let job = self.folder.path().join("job.sh");
        fs::write(&job, script).unwrap();
        let log = format!("{}/%a.log", self.folder.path().display());
        let sbatch =
            self.command("usr/bin/sbatch").args(["--wait", "--array", tasks, "--output", &log]).arg(&job).output();
        println!("{}", String::from_utf8_lossy(&sbatch.unwrap().stderr));
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        // The node first: it tells the controller. A signal that it can hear leaves no process of a job behind.
        for child in self.running.iter_mut().rev() {
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            let began = Instant::now();
            while child.try_wait().is_ok_and(|ended| ended.is_none()) && began.elapsed() < Duration::from_secs(10) {
                std::thread::sleep(Duration::from_millis(50));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn configuration(packages: &Path, at: &Path) -> String {
    let (at, packages, host) = (at.display(), packages.display(), host());
    let user = String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
    let user = user.trim();
    format!(
        "ClusterName=test\nSlurmctldHost={host}(127.0.0.1)\nSlurmctldPort={}\nSlurmdPort={}\nSlurmUser={user}\nSlurmdUser={user}\n\
         AuthType=auth/munge\nCredType=cred/munge\nAuthInfo=socket={at}/munge.socket\n\
         PluginDir={packages}/usr/lib/x86_64-linux-gnu/slurm-wlm\nStateSaveLocation={at}/state\nSlurmdSpoolDir={at}/spool\n\
         SlurmctldPidFile={at}/slurmctld.pid\nSlurmdPidFile={at}/slurmd.pid\nSlurmctldLogFile={at}/slurmctld.log\n\
         SlurmdLogFile={at}/slurmd.log\nProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nSelectType=select/cons_tres\n\
         SelectTypeParameters=CR_CPU\nJobAcctGatherType=jobacct_gather/none\nAccountingStorageType=accounting_storage/none\n\
         MpiDefault=none\nReturnToService=2\nSwitchType=switch/none\nSlurmdParameters=config_overrides\n\
         NodeName={host} NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN\nPartitionName=all Nodes={host} Default=YES State=UP\n",
        port(),
        port()
    )
}

#[test]
fn a_job_array_scans_what_one_scan_finds() {
    let Some(slurm) = Slurm::start() else { return };
    let temporary = tempfile::tempdir().unwrap();
    let root = temporary.path();
    fs::create_dir(root.join("logs")).unwrap();
    fs::write(root.join("r.yml"), "title: r\nid: r\ndetection:\n  k:\n    - needle\n  condition: k\n").unwrap();
    for file in 0..3 {
        let line = |n: usize| format!("{{\"n\":{n},\"k\":\"{}\"}}\n", if n % 5_000 == file { "needle" } else { "hay" });
        fs::write(root.join(format!("logs/{file}.json")), (0..80_000).map(line).collect::<String>()).unwrap();
    }
    let script = |out: &str| {
        format!(
            "#!/bin/bash\ncd {} && exec {} scan logs logs --rules r.yml --shard auto --output {out}\n",
            root.display(),
            env!("CARGO_BIN_EXE_portcullis")
        )
    };
    // Any beginning and any step.
    for (tasks, out) in [("1-4", "out"), ("0-9:3", "stepped")] {
        slurm.array(tasks, &script(out));
        let merged = run(root, &["--format", "json", "scan", "merge", out, "--rules", "r.yml"]).expect(3);
        let whole = run(root, &["--format", "json", "scan", "logs", "logs", "--rules", "r.yml"]).expect(3);
        assert_eq!(fs::read_dir(root.join(out)).unwrap().count(), 4);
        assert_eq!(merged.of_type("finding").len(), 48);
        assert_eq!(merged.of_type("finding"), whole.of_type("finding"));
    }
    // Failed tasks that are run again as an array of their own would be taken for all of one.
    slurm.array("2,3,9", &script("holes"));
    let said: String = ["2", "3", "9"]
        .map(|task| fs::read_to_string(slurm.folder.path().join(format!("{task}.log"))).unwrap())
        .concat();
    assert!(said.contains("is of an array with holes") && !root.join("holes").exists(), "{said}");
}
