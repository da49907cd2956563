//! Tests that need no guest: the programs in network namespaces, their package, and their documents. They are in one binary so that
//! tests, which wait most of the time, run at the same time.

mod auto_interfaces;
mod chrony;
mod chrony_files;
mod configuration;
mod files;
mod inherited;
mod interfaces;
mod leader_changes;
mod leaders;
mod log_messages;
mod log_outputs;
mod manual;
mod notify;
mod ntp;
mod package;
mod page_consumer;
mod page_contract;
mod pages;
mod pipeline;
mod pmc_doctor;
mod pmc_log;
mod pmc_metrics;
mod pmc_query;
mod pmc_watch;
mod refusals;
mod relay;
mod restarts;
mod setups;
mod spoof;
mod threats;
mod utc;
mod wait;
mod wire;
