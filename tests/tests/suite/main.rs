//! What needs no guest: the programs in network namespaces, what is installed with them, and the words about them. One binary, so
//! that tests which mostly wait do so side by side.

mod chrony;
mod chrony_files;
mod configuration;
mod interfaces;
mod leader_changes;
mod leaders;
mod manual;
mod notify;
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
mod spoof;
mod threats;
mod utc;
mod wait;
mod wire;
