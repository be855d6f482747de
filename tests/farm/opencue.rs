//! OpenCue: the job's specification without a server, and its launch on a stand-in for
//! one, by OpenCue's own libraries.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::tools::{run, submit, tool};
use crate::work::{Work, plate};

/// `text` without what differs from machine to machine.
fn plain(text: &str, work: &Work) -> String {
    let folder = plate();
    let folder = Path::new(&folder).parent().unwrap().display().to_string();
    let mut text = text
        .replace(&work.path("").display().to_string(), "WORK/")
        .replace(&folder, "PLATE")
        .replace(env!("CARGO_BIN_EXE_longtake"), "LONGTAKE")
        .replace(&longtake::job::plan_version(&Default::default()), "VERSION");
    for tag in ["user", "email", "uid", "memory"] {
        let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
        let mut from = 0;
        while let Some(at) = text[from..].find(&open) {
            let start = from + at + open.len();
            let end = start + text[start..].find(&close).unwrap();
            text.replace_range(start..end, "");
            from = start;
        }
    }
    // An element a line.
    text.trim().replace("><", ">\n<") + "\n"
}

#[test]
fn opencue_makes_the_specification_without_a_server() {
    let work = Work::new();
    let Some(python) = tool("python") else { return };
    submit(&work, "opencue", "q", "--report o/report.json");
    let out = run(&work, &python, &["q/job.py", "--xml", "--show", "water"]);
    assert_eq!(out.code, 0, "{}{}", out.stdout, out.stderr);
    let made = plain(&out.stdout, &work);
    let expected = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/farm/opencue.xml");
    if std::env::var_os("LONGTAKE_WRITE_EXPECTED").is_some() {
        std::fs::write(expected, &made).unwrap();
    }
    assert_eq!(
        made,
        std::fs::read_to_string(expected).unwrap(),
        "where it is meant to differ: LONGTAKE_WRITE_EXPECTED=1 cargo test --test farm opencue"
    );
    // Where a GPU is insisted on the service is asked for one.
    submit(&work, "opencue", "gpu", "--device gpu");
    let out = run(&work, &python, &["gpu/job.py", "--xml"]);
    for told in ["<gpus>1</gpus>", "<gpu_memory>1027m</gpu_memory>"] {
        assert!(out.stdout.contains(told), "{told}: {}", out.stdout);
    }
    // A part with steps is made frame by frame, by number.
    submit(&work, "opencue", "part", "--only 1001-1050x7");
    let out = run(&work, &python, &["part/job.py", "--xml"]);
    for told in ["#IFRAME#", "<range>1001-1050x7</range>", "<chunk>1</chunk>"] {
        assert!(out.stdout.contains(told), "{told}: {}", out.stdout);
    }
}

/// A Cuebot in a few lines: answers that it is there, keeps the specification of a job
/// and gives the job a name. Prints its port; ends with its input.
const CUEBOT: &str = r#"
import sys
from concurrent import futures
import grpc
from opencue_proto import cue_pb2, cue_pb2_grpc, job_pb2, job_pb2_grpc

class Cue(cue_pb2_grpc.CueInterfaceServicer):
    def GetSystemStats(self, request, context):
        return cue_pb2.CueGetSystemStatsResponse()

class Jobs(job_pb2_grpc.JobInterfaceServicer):
    def LaunchSpecAndWait(self, request, context):
        with open("launched.xml", "w") as file:
            file.write(request.spec)
        jobs = job_pb2.JobSeq(jobs=[job_pb2.Job(id="1", name="water-longtake")])
        return job_pb2.JobLaunchSpecAndWaitResponse(jobs=jobs)

server = grpc.server(futures.ThreadPoolExecutor(2))
cue_pb2_grpc.add_CueInterfaceServicer_to_server(Cue(), server)
job_pb2_grpc.add_JobInterfaceServicer_to_server(Jobs(), server)
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
sys.stdin.read()
"#;

#[test]
fn a_job_is_launched_where_a_server_is_configured_and_nowhere_else() {
    let work = Work::new();
    let Some(python) = tool("python") else { return };
    submit(&work, "opencue", "q", "");
    let launch = |hosts: Option<&str>| {
        let mut command = Command::new(&python);
        command
            .args(["q/job.py", "--show", "water"])
            .current_dir(work.path(""))
            .env("HOME", work.path("home"));
        for name in ["CUEBOT_HOSTS", "OPENCUE_CONFIG_FILE", "OPENCUE_CONF"] {
            command.env_remove(name);
        }
        command.envs(hosts.map(|h| ("CUEBOT_HOSTS", h)));
        command.output().unwrap()
    };
    let alone = launch(None);
    let told = String::from_utf8_lossy(&alone.stderr);
    assert_eq!(alone.status.code(), Some(1), "{told}");
    assert!(told.contains("no Cuebot is configured"), "{told}");

    let mut server = Command::new(&python)
        .args(["-c", CUEBOT])
        .current_dir(work.path(""))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut port = String::new();
    let lines = server.stdout.take().unwrap();
    BufReader::new(lines).read_line(&mut port).unwrap();
    let there = launch(Some(&format!("127.0.0.1:{}", port.trim())));
    drop(server.stdin.take());
    server.wait().unwrap();
    let told = String::from_utf8_lossy(&there.stderr);
    assert!(there.status.success(), "{told}");
    let name = String::from_utf8_lossy(&there.stdout);
    assert!(name.contains("water-longtake"), "{name}{told}");
    let out = run(&work, &python, &["q/job.py", "--xml", "--show", "water"]);
    let launched = String::from_utf8(work.bytes("launched.xml")).unwrap();
    assert_eq!(plain(&launched, &work), plain(&out.stdout, &work));
}
