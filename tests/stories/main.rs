//! The stories: one file for each, told with the real binaries.
#![expect(clippy::disallowed_methods, reason = "stories act on the world as users do")]

mod a_deploy_with_systemd;
mod a_disk_after_a_power_cut;
mod a_disk_that_does_not_answer;
mod a_disk_that_fills;
mod a_failing_gate;
mod a_good_deploy;
mod a_kill_at_every_call;
mod a_killed_build;
mod a_killed_restart;
mod a_pipe_killed_at_every_call;
mod a_power_cut;
mod a_root_of_another;
mod a_service_fault_at_every_call;
mod a_storm;
mod a_way_back_that_fails;
mod asking_systemd;
mod batches;
mod blame;
mod blue_green;
mod blue_green_at_its_edges;
mod collecting;
mod completions;
mod compose_spelled_both_ways;
mod documentation;
mod durability_order;
mod every_manager;
mod every_way_back;
mod hostile_disks;
mod hostile_ids;
mod hostile_processes;
mod hostile_records;
mod hostile_services;
mod hostile_state;
mod interrupts;
mod kept_connections;
mod killed_at_every_stage;
mod managers_that_fail;
mod no_gate_is_left_behind;
mod no_request_is_lost;
mod no_root_by_mistake;
mod no_secret_is_told;
mod one_program;
mod overtaken_holds;
mod planning;
mod planted_bugs;
mod primary_backup;
mod primary_backup_on_upstart;
mod promises;
mod proxies_and_their_promises;
mod pull;
mod pull_with_compose;
mod races_for_a_name;
mod readers_see_no_gap;
mod readiness_is_noticed;
mod real_systemd_boots;
mod rolling;
mod rolling_back;
mod start_up_time;
mod taking_over;
mod the_checker;
mod the_contract;
mod the_cookbook;
mod the_cost_of_a_restart;
mod the_demo;
mod timers;
mod traffic;
mod two_deploys;
mod typing_errors;
mod unicorn;
mod what_a_restart_demands;
mod what_systemd_tells;
mod whose_answer_it_is;
mod with_make;

/// A file that no `mod` line names would never be compiled, let alone run.
#[test]
fn no_story_is_forgotten() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("stories");
    let files = std::fs::read_dir(dir).expect("list the stories").flatten().map(|entry| entry.file_name());
    let mut files: Vec<_> = files.filter_map(|name| name.to_str()?.strip_suffix(".rs").map(str::to_owned)).collect();
    files.retain(|name| name != "main");
    files.sort();
    let listed = include_str!("main.rs").lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'));
    assert_eq!(files, listed.collect::<Vec<_>>());
}
