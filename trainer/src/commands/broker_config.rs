//! Configuration and access list of an external broker that admits enrolled agents: `broker-config`.

use super::other_brokers::{EMQX, RMQTT, emqx_acl, rmqtt_acl};
use super::store_args::StoreArgs;
use crate::access::{Services, acl, all_identities, service_name};
use clap::{Args, Subcommand};
use lapwing_common::{clock, print_line};
use lapwing_fleet::{Identity, IdentityState};
use lapwing_shared::messages::access::TRAINER;
use lapwing_store::StoreHandle;

/// `broker-config`.
#[derive(Debug, Subcommand)]
pub(crate) enum BrokerConfigCommand {
    /// Configuration of mosquitto, with comments on the files that it needs.
    #[command(after_help = "Example:\n  lapwing-trainer broker-config mosquitto > /etc/mosquitto/conf.d/lapwing.conf")]
    Mosquitto,
    /// Access list of mosquitto: what agents and the trainer may publish and read, and the revoked agents. Replace the file
    /// and reload mosquitto (SIGHUP) after `agents revoke`.
    #[command(
        after_help = "Example:\n  lapwing-trainer broker-config mosquitto-acl --store store.sqlite > /etc/mosquitto/lapwing.acl"
    )]
    MosquittoAcl(AclArgs),
    /// Configuration of EMQX 5, from its documentation: it was not run with Lapwing.
    #[command(after_help = "Example:\n  lapwing-trainer broker-config emqx >> /etc/emqx/emqx.conf")]
    Emqx,
    /// Access list of EMQX 5, which reads it when it starts.
    #[command(
        after_help = "Example:\n  lapwing-trainer broker-config emqx-acl --store store.sqlite > /etc/emqx/lapwing.acl"
    )]
    EmqxAcl(AclArgs),
    /// Configuration of rmqtt 0.24.
    #[command(after_help = "Example:\n  lapwing-trainer broker-config rmqtt >> /etc/rmqtt/rmqtt.toml")]
    Rmqtt,
    /// Access list of rmqtt: the configuration of its plugin rmqtt-acl, with a line for each agent. Replace the file and restart
    /// rmqtt after each enrolment and revocation.
    #[command(
        after_help = "Example:\n  lapwing-trainer broker-config rmqtt-acl --store store.sqlite > /etc/rmqtt/plugins/rmqtt-acl.toml"
    )]
    RmqttAcl(AclArgs),
}

/// Options of access lists.
#[derive(Debug, Args)]
pub(crate) struct AclArgs {
    /// Store.
    #[command(flatten)]
    store: StoreArgs,
    /// User name of the trainer at the broker. It begins with `_`, as no agent's name does: an agent with this name would
    /// have the trainer's rights.
    #[arg(long, value_name = "NAME", default_value = TRAINER, value_parser = service_name)]
    trainer: String,
    /// User name of a program that reads alerts and statuses, such as Home Assistant; it begins with `_`. Repeatable.
    #[arg(long, value_name = "NAME", value_parser = service_name)]
    reader: Vec<String>,
}

const MOSQUITTO: &str = "\
# Port for enrolled agents: their certificates are their user names and client identifiers.
# `per_listener_settings true` allows another listener with passwords, e.g. for the trainer on this machine.
per_listener_settings true
listener 8883
# lapwing-trainer authority trusted > /etc/mosquitto/lapwing-ca.pem
cafile /etc/mosquitto/lapwing-ca.pem
# lapwing-trainer authority server NAME --certificate /etc/mosquitto/lapwing.pem --key /etc/mosquitto/lapwing.key
certfile /etc/mosquitto/lapwing.pem
keyfile /etc/mosquitto/lapwing.key
tls_version tlsv1.3
require_certificate true
use_identity_as_username true
use_username_as_clientid true
allow_anonymous false
# lapwing-trainer broker-config mosquitto-acl > /etc/mosquitto/lapwing.acl
acl_file /etc/mosquitto/lapwing.acl
";

/// `broker-config`.
pub(crate) fn run_broker_config(command: &BrokerConfigCommand) -> anyhow::Result<()> {
    match command {
        BrokerConfigCommand::Mosquitto => print_line!("{}", MOSQUITTO.trim_end()),
        BrokerConfigCommand::MosquittoAcl(args) => print_list(args, Some(IdentityState::Revoked), acl)?,
        BrokerConfigCommand::Emqx => print_line!("{}", EMQX.trim_end()),
        BrokerConfigCommand::EmqxAcl(args) => print_list(args, Some(IdentityState::Revoked), emqx_acl)?,
        BrokerConfigCommand::Rmqtt => print_line!("{}", RMQTT.trim_end()),
        BrokerConfigCommand::RmqttAcl(args) => print_list(args, None, rmqtt_acl)?,
    }
    Ok(())
}

/// Identities, services and time → an access list.
type List = fn(&[Identity], Services<'_>, u64) -> String;

fn print_list(args: &AclArgs, state: Option<IdentityState>, list: List) -> anyhow::Result<()> {
    let identities = all_identities(&StoreHandle::open(args.store.url()?)?, state)?;
    print_line!("{}", list(&identities, (&args.trainer, &args.reader), clock::now_s()).trim_end());
    Ok(())
}
