//! Network namespaces: machines of their own on this one, with NAT between them. Needs root,
//! iproute2 and nftables.

#![allow(dead_code, reason = "each test program uses its part")]

use std::{
    io::Write,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

/// Whether namespaces and NAT can be had; if not, a SKIP line for this test: a program that is missing is a fault of the
/// machine, a right that is missing is how most containers are.
pub fn is_here(test: &str) -> bool {
    for (program, argument) in [("ip", "-V"), ("nft", "-v")] {
        if !quietly(program, &[argument]) {
            println!("SKIP {test} ({program}): not installed (Debian: iproute2 nftables)");
            return false;
        }
    }
    let name = format!("st-probe-{}", std::process::id());
    let made = quietly("ip", &["netns", "add", &name]);
    let probe = ["netns", "exec", &name, "nft", "add", "table", "ip", "nat"];
    let rules = made && quietly("ip", &probe);
    quietly("ip", &["netns", "del", &name]);
    if !rules {
        println!("SKIP {test}: no right to make network namespaces with NAT (root does)");
    }
    rules
}

fn quietly(program: &str, args: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null());
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {error}");
}

/// Some namespaces, gone with this.
pub struct Cage {
    prefix: String,
    names: Vec<String>,
    links: u32,
}

impl Cage {
    /// Namespaces with a loopback each.
    pub fn new(names: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let nth = COUNT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("st{}-{nth}", std::process::id());
        let mut cage = Self {
            prefix,
            names: Vec::new(),
            links: 0,
        };
        for name in names {
            let name = cage.name(name);
            run("ip", &["netns", "add", &name]);
            run("ip", &["-n", &name, "link", "set", "lo", "up"]);
            cage.names.push(name);
        }
        cage
    }

    /// The namespace's name for `ip`.
    pub fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// A cable between two of them, with an address (`10.9.0.2/24`) at each end. The devices are
    /// called after the other end.
    pub fn link(&mut self, (a, at_a): (&str, &str), (b, at_b): (&str, &str)) {
        self.links += 1;
        let (near, far) = (self.name(a), self.name(b));
        let (to_b, to_a) = (format!("to-{b}"), format!("to-{a}"));
        run(
            "ip",
            &[
                "link", "add", &to_b, "netns", &near, "type", "veth", "peer", "name", &to_a,
                "netns", &far,
            ],
        );
        for (space, address, device) in [(&near, at_a, &to_b), (&far, at_b, &to_a)] {
            run("ip", &["-n", space, "addr", "add", address, "dev", device]);
            run("ip", &["-n", space, "link", "set", device, "up"]);
        }
    }

    /// Everything unknown goes there.
    pub fn gateway(&self, name: &str, via: &str) {
        let name = self.name(name);
        run("ip", &["-n", &name, "route", "add", "default", "via", via]);
    }

    /// It forwards, by these rules of nftables.
    pub fn routes(&self, name: &str, rules: &str) {
        let name = self.name(name);
        let forward = "echo 1 > /proc/sys/net/ipv4/ip_forward";
        run("ip", &["netns", "exec", &name, "sh", "-c", forward]);
        let mut nft = Command::new("ip");
        nft.args(["netns", "exec", &name, "nft", "-f", "-"]);
        let mut nft = nft.stdin(Stdio::piped()).spawn().unwrap();
        let mut input = nft.stdin.take().unwrap();
        input.write_all(rules.as_bytes()).unwrap();
        drop(input);
        assert!(nft.wait().unwrap().success(), "{rules}");
    }

    /// A program in there.
    pub fn command(&self, name: &str, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name(name), program]);
        command
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        for name in &self.names {
            quietly("ip", &["netns", "del", name]);
        }
    }
}
