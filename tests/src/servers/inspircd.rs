//! InspIRCd: a modern server. Message IDs, server time, echoes, labels, batches, RFC 1459 case mapping, TLS.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{NOBODY, is_root, listening};
use crate::peers;
use crate::process::{Process, free_port};

/// A running InspIRCd.
#[derive(Debug)]
pub struct InspIrcd {
    /// Where clients connect in plain text.
    pub address: SocketAddr,
    /// Where clients connect with TLS.
    pub tls_address: SocketAddr,
    /// Where services connect.
    pub(crate) link_port: u16,
    process: Process,
    folder: TempDir,
}

impl InspIrcd {
    /// Starts one; `None`, and the test counts as skipped, where InspIRCd is not installed.
    pub async fn start() -> Option<Self> {
        let Some(program) = peers::find("inspircd") else {
            peers::skipped("inspircd");
            return None;
        };
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [plain, tls, link] = [free_port(), free_port(), free_port()];
        write_certificate(folder.path());
        fs::write(config_path(folder.path()), config(folder.path(), [plain, tls, link]))
            .expect("a writable folder");
        let process = launch(&program, folder.path());
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let mut server = Self { address: at(plain), tls_address: at(tls), link_port: link, process, folder };
        for port in [plain, tls, link] {
            listening(&mut server.process, at(port)).await;
        }
        Some(server)
    }

    /// The server's certificate, signed by itself.
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }
}

fn config_path(folder: &Path) -> PathBuf {
    folder.join("insp.conf")
}

/// As root the server runs as `nobody`, who has to own its folder.
fn launch(program: &Path, folder: &Path) -> Process {
    let mut command = Command::new(program);
    command.arg("--nofork").arg(format!("--config={}", config_path(folder).display())).current_dir(folder);
    let log = folder.join("log");
    if is_root() {
        for file in fs::read_dir(folder).expect("a readable folder").filter_map(Result::ok) {
            chown(file.path(), Some(NOBODY), Some(NOBODY)).expect("root may change owners");
        }
        chown(folder, Some(NOBODY), Some(NOBODY)).expect("root may change owners");
        command.uid(NOBODY).gid(NOBODY);
    }
    Process::start("inspircd", &log, command)
}

fn write_certificate(folder: &Path) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])
        .expect("a certificate for a valid name");
    fs::write(folder.join("cert.pem"), made.cert.pem()).expect("a writable folder");
    fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).expect("a writable folder");
}

/// Modules besides those that the configuration names itself. The last ones are what Atheme insists on.
const MODULES: &str = "cap ircv3 ircv3_accounttag ircv3_batch ircv3_capnotify ircv3_chghost ircv3_ctctags \
    ircv3_echomessage ircv3_invitenotify ircv3_labeledresponse ircv3_msgid ircv3_servertime monitor namesx uhnames \
    services_account setname chghost botmode banexception inviteexception sajoin samode sanick redirect muteban \
    svshold hidechans globops deaf servprotect hideoper";

fn config(folder: &Path, [plain, tls, link]: [u16; 3]) -> String {
    let modules: Vec<_> =
        MODULES.split_whitespace().map(|module| format!("<module name=\"{module}\">")).collect();
    CONFIG
        .replace("{folder}", &folder.display().to_string())
        .replace("{plain}", &plain.to_string())
        .replace("{tls}", &tls.to_string())
        .replace("{link}", &link.to_string())
        .replace("{modules}", &modules.join("\n"))
}

const CONFIG: &str = r#"
<server name="irc.test.local" description="t" id="001" network="testnet">
<admin name="t" nick="t" email="t@example.org">
<bind address="127.0.0.1" port="{plain}" type="clients">
<bind address="127.0.0.1" port="{tls}" type="clients" sslprofile="c">
<bind address="127.0.0.1" port="{link}" type="servers">
<connect allow="*" resolvehostnames="no" useident="no" timeout="30" pingfreq="2m" recvq="40960" softsendq="64K"
    hardsendq="8M" localmax="5000" globalmax="5000" commandrate="1000000" threshold="1000000" fakelag="no">
<performance clonesonconnect="no">
<options casemapping="rfc1459">
<security announceinvites="none" hidesplits="no">
<channels users="1000" opers="1000">
<pid file="{folder}/insp.pid">
<log method="file" type="*" level="default" target="{folder}/insp.log">
<oper name="oper" password="operpw" host="*@*" type="A"><type name="A" classes="A">
<class name="A" commands="*" privs="*" usermodes="*" chanmodes="*" snomasks="*">
<module name="ssl_gnutls"><module name="sslinfo">
<sslprofile name="c" provider="gnutls" certfile="{folder}/cert.pem" keyfile="{folder}/key.pem" hash="sha256">
{modules}
<module name="chanhistory"><chanhistory maxlines="50" prefixmsg="no" bots="yes" enableumode="yes">
<module name="spanningtree"><module name="sasl"><sasl target="services.test.local" requiressl="no">
<link name="services.test.local" ipaddr="127.0.0.1" port="{link}" allowmask="127.0.0.1/32"
    recvpass="linkpw" sendpass="linkpw">
<uline server="services.test.local" silent="yes">
"#;
