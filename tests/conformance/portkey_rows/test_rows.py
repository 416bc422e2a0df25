"""Which test holds which row of reference/portkey.md 2.1 to 2.8; a name in the table that is no test is a failure.

Without a test, since what they are about is not built: 246 and 446 of guardrails and their hooks on a cache's hit; 412
and 429 of limits; headers that place a call in a trace's tree or set beta flags. `strict-open-ai-compliance` and the
SDK's words about itself change nothing. A provider's own settings belong to its virtual key, in headers as in configs.
Forms (2.7, multipart) are passed at doors that the cache does not know.
"""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
HERE = "conformance/portkey_rows/"
ANSWERS, CONFIGS, STREAMS = (
    HERE + name for name in ("test_answers_2_3_to_2_6", "test_configs_2_4", "test_streams_2_8")
)
CACHED = "gateway/pipeline/test_cached"
MODEL = "shared/models/test_config_model"
AUTH, RESOLVE, READ = (f"gateway/pipeline/test_{name}" for name in ("authenticate", "resolve", "read"))
RECORD, KEY, ATTEMPTS = "gateway/pipeline/test_record", "gateway/cache/test_key", "gateway/pipeline/test_attempts"

ROWS: dict[str, tuple[str, ...]] = {
    "2.1 ways to name a target": (
        f"{RESOLVE}::test_the_ways_in_their_order_of_strength",
        f"{RESOLVE}::test_a_host_of_one_s_own_and_one_that_wants_no_key_need_none_beside_a_bare_provider",
    ),
    "2.1 whose key stands where": (
        f"{AUTH}::test_our_key_is_found_in_every_header_behind_any_scheme",
        f"{AUTH}::test_a_provider_key_stands_beside_ours",
    ),
    "2.2 config, virtual-key, provider, custom-host": (f"{RESOLVE}::test_our_own_spelling_of_a_header_means_the_same",),
    "2.2 cache-force-refresh": (f"{CACHED}::test_refresh_replaces_what_was_kept",),
    "2.2 cache-namespace": (f"{CACHED}::test_a_namespace_keeps_apart_and_puts_together",),
    "2.2 debug": (f"{CACHED}::test_disabled_where_debug_is_false",),
    "2.2 default guardrails": (f"{RESOLVE}::test_guardrails_in_a_header_are_refused_by_name",),
    "2.2 openai-…, anthropic-…": (
        f"{READ}::test_what_a_provider_is_told_has_a_name_of_the_original_s_too",
        f"{KEY}::test_a_header_that_may_change_the_answer_changes_it",
    ),
    "2.2 forward-headers": (f"{ATTEMPTS}::test_named_headers_go_on_and_no_others",),
    "2.2 metadata": (f"{RECORD}::test_only_declared_metadata_is_told",),
    "2.2 request-timeout": (f"{CONFIGS}::test_2_4_a_header_wins_over_the_config",),
    "2.2 retry-count": (f"{ATTEMPTS}::test_the_older_header_asks_for_retries_where_no_config_does",),
    "2.2 trace-id, span-id": (f"{RECORD}::test_trace_ids_are_told_if_they_are_ids",),
    "2.3 x-portkey-trace-id": (f"{ANSWERS}::test_2_3_trace_id_is_echoed_and_made_where_none_came",),
    "2.3 x-portkey-last-used-option-index": (f"{ANSWERS}::test_2_3_last_used_option_index",),
    "2.3 x-portkey-retry-attempt-count": (
        f"{ANSWERS}::test_2_5_two_failures_then_an_answer",
        f"{ANSWERS}::test_2_5_failures_until_retries_are_used_up",
        f"{ANSWERS}::test_2_5_what_is_not_listed_is_not_retried",
    ),
    "2.3 x-portkey-cache-status": (f"{ANSWERS}::test_2_3_provider_request_id_and_cache_status",),
    "2.3 x-portkey-provider": (f"{ANSWERS}::test_2_3_provider_request_id_and_cache_status",),
    "2.3 x-portkey-request-id": (f"{ANSWERS}::test_2_3_provider_request_id_and_cache_status",),
    "2.3 x-portkey-gateway-exception": (
        f"{ANSWERS}::test_2_3_gateway_exception_marks_a_fault_of_the_gateway_and_nothing_else",
    ),
    "2.3 what of the provider's passes": (
        f"{ANSWERS}::test_2_3_lengths_and_encodings_of_the_provider_do_not_pass",
        f"{ANSWERS}::test_2_3_retry_after_passes_on_a_429",
    ),
    "2.4 strategy.mode": (
        f"{CONFIGS}::test_2_4_a_config_without_a_strategy_is_single",
        f"{CONFIGS}::test_2_4_operators_decide_where_a_call_goes",
        f"{ANSWERS}::test_2_5_fallback_without_a_list_goes_on_from_whatever_is_no_2xx",
    ),
    "2.4 strategy.on_status_codes": (f"{ANSWERS}::test_2_5_fallback_with_a_list_goes_on_from_what_is_listed",),
    "2.4 strategy.conditions": (f"{CONFIGS}::test_2_4_operators_decide_where_a_call_goes",),
    "2.4 strategy.default": (
        f"{CONFIGS}::test_2_4_operators_decide_where_a_call_goes",
        f"{ANSWERS}::test_2_6_a_router_that_leads_nowhere_is_400",
    ),
    "2.4 strategy.sticky": (f"{CONFIGS}::test_2_4_sticky_keeps_a_session_at_one_target_and_spreads_sessions",),
    "2.4 cb_config": (
        f"{CONFIGS}::test_2_4_cb_config_leaves_out_what_failed_until_its_cooldown_is_over",
        f"{CONFIGS}::test_2_4_cb_config_counts_the_statuses_and_the_share_that_it_names",
    ),
    "2.4 targets": (f"{MODEL}::test_targets_are_as_many_as_the_limit_and_no_more",),
    "2.4 name": (f"{CONFIGS}::test_2_4_operators_decide_where_a_call_goes",),
    "2.4 weight": (f"{CONFIGS}::test_2_4_weight_0_is_never_drawn_and_1_is_the_default",),
    "2.4 provider, virtual_key, api_key, custom_host": (
        f"{CONFIGS}::test_2_4_a_target_is_named_with_its_key_and_host",
    ),
    "2.4 prompt_id": (f"{CONFIGS}::test_2_4_what_is_not_built_yet_is_refused_by_name_and_never_dropped",),
    "2.4 passthrough": (f"{CONFIGS}::test_2_4_passthrough_takes_the_target_that_the_request_names",),
    "2.4 override_params, default_params": (f"{CONFIGS}::test_2_4_defaults_then_overrides_then_what_is_dropped",),
    "2.4 drop_params": (f"{CONFIGS}::test_2_4_defaults_then_overrides_then_what_is_dropped",),
    "2.4 request_timeout": (
        f"{ANSWERS}::test_2_5_and_2_6_a_timeout_that_was_asked_for_is_408_in_the_original_s_words",
    ),
    "2.4 retry.attempts": (f"{ANSWERS}::test_2_5_more_than_five_retries_are_five",),
    "2.4 retry.on_status_codes": (
        f"{CONFIGS}::test_2_4_what_is_retried_where_nothing_is_listed_the_documents_529_among_it",
    ),
    "2.4 retry.use_retry_after_header": (
        f"{ANSWERS}::test_2_5_retry_after_is_waited_for_by_either_spelling_of_the_flag",
    ),
    "2.4 cache": (
        f"{CACHED}::test_miss_then_hit_that_costs_nothing_and_asks_nobody",
        f"{CACHED}::test_what_is_older_than_the_config_allows_is_asked_for_again",
        f"{CONFIGS}::test_2_4_semantic_cache_is_refused_by_name",
    ),
    "2.4 forward_headers": (f"{CONFIGS}::test_2_4_forward_headers_go_on_as_they_are",),
    "2.4 strict_open_ai_compliance": (
        f"{CONFIGS}::test_2_4_what_is_not_built_yet_is_refused_by_name_and_never_dropped",
    ),
    "2.4 guardrails, hooks and mutators": (
        f"{CONFIGS}::test_2_4_what_is_not_built_yet_is_refused_by_name_and_never_dropped",
    ),
    "2.4 on_status_codes": (f"{CONFIGS}::test_2_4_on_status_codes_may_stand_in_their_older_place",),
    "2.4 OpenAI, Azure, AWS, Vertex": (
        f"{CONFIGS}::test_2_4_a_provider_s_own_settings_are_refused_by_name_and_belong_to_its_virtual_key",
    ),
    "2.4 valid without a target": (f"{CONFIGS}::test_2_4_a_config_may_name_no_target_and_joins_the_request_s",),
    "2.4 a saved config by its slug": (f"{CONFIGS}::test_2_4_a_saved_config_is_named_by_its_slug",),
    "2.4 legacy, unknown": (f"{CONFIGS}::test_2_4_what_cannot_work_is_400_before_anybody_is_asked",),
    "2.4 inheritance": (
        f"{CONFIGS}::test_2_4_a_target_inherits_and_its_own_word_wins_at_any_depth",
        f"{CONFIGS}::test_2_4_retry_is_inherited_unless_a_target_has_its_own",
        f"{CONFIGS}::test_2_4_forward_headers_are_inherited_unless_a_target_has_its_own",
        f"{CONFIGS}::test_2_4_a_custom_host_is_inherited_unless_a_target_has_its_own",
        f"{CACHED}::test_cache_is_inherited_and_of_several_targets_each_has_its_own",
        f"{CONFIGS}::test_2_4_a_header_wins_over_the_config",
    ),
    "2.4 conditional operators": (
        f"{CONFIGS}::test_2_4_operators_decide_where_a_call_goes",
        f"{CONFIGS}::test_2_4_what_cannot_work_is_400_before_anybody_is_asked",
    ),
    "2.5 500, 500, 200": (f"{ANSWERS}::test_2_5_two_failures_then_an_answer",),
    "2.5 503 always": (f"{ANSWERS}::test_2_5_failures_until_retries_are_used_up",),
    "2.5 400": (f"{ANSWERS}::test_2_5_what_is_not_listed_is_not_retried",),
    "2.5 400 in list": (f"{ANSWERS}::test_2_5_what_is_listed_is_retried",),
    "2.5 429 with retry-after 1": (f"{ANSWERS}::test_2_5_retry_after_is_waited_for_by_either_spelling_of_the_flag",),
    "2.5 429 with retry-after 90, either flag": (f"{ANSWERS}::test_2_5_a_long_retry_after_ends_it_at_once_and_passes",),
    "2.5 timeout in list 408": (
        f"{ANSWERS}::test_2_5_and_2_6_a_timeout_that_was_asked_for_is_408_in_the_original_s_words",
    ),
    "2.5 connection reset": (
        f"{ANSWERS}::test_2_5_a_connection_that_is_reset_is_retried_whatever_the_list_says_and_finally_502_not_500",
    ),
    "2.5 connect timeout": (f"{ANSWERS}::test_2_5_a_connection_that_is_not_taken_in_time_is_504_not_503",),
    "2.5 fallback, no list": (f"{ANSWERS}::test_2_5_fallback_without_a_list_goes_on_from_whatever_is_no_2xx",),
    "2.5 fallback with list": (f"{ANSWERS}::test_2_5_fallback_with_a_list_goes_on_from_what_is_listed",),
    "2.5 timeout, reset, page in the first target": (
        f"{ANSWERS}::test_2_5_fallback_goes_on_where_nobody_answers_well",
    ),
    "2.5 error inside a 200": (
        f"{ANSWERS}::test_2_5_an_error_inside_of_a_200_goes_on_to_the_next_target_unlike_in_the_original",
    ),
    "2.5 broken JSON in a 200": (
        f"{ANSWERS}::test_2_5_broken_json_in_a_200_goes_on_to_the_next_target_unlike_in_the_original",
    ),
    "2.5 stream cut": (f"{ANSWERS}::test_2_5_a_stream_that_is_cut_ends_with_an_error_event_unlike_in_the_original",),
    "2.5 all targets fail": (f"{ANSWERS}::test_2_5_when_all_targets_fail_the_last_one_is_told",),
    "2.5 weights sum to 0": (
        f"{ANSWERS}::test_2_5_weights_that_sum_to_nothing_are_told_at_once_unlike_in_the_original",
    ),
    "2.5 attempts 9": (f"{ANSWERS}::test_2_5_more_than_five_retries_are_five",),
    "2.6 validator": (f"{ANSWERS}::test_2_6_a_config_s_faults_are_listed_by_path",),
    "2.6 provider error": (
        f"{ANSWERS}::test_2_6_a_provider_s_error_says_whose_it_is",
        f"{ANSWERS}::test_2_6_a_path_that_is_passed_has_the_same_shapes",
    ),
    "2.6 provider answered non-JSON": (f"{ANSWERS}::test_2_6_an_answer_that_is_no_json_keeps_its_status_and_text",),
    "2.6 network error": (f"{ANSWERS}::test_2_6_a_network_error_is_502_and_names_no_address_unlike_in_the_original",),
    "2.6 unparseable 2xx, wrong shape": (
        f"{ANSWERS}::test_2_6_a_2xx_that_cannot_be_read_or_has_the_wrong_shape_is_502_and_not_500",
    ),
    "2.6 malformed request": (f"{ANSWERS}::test_2_6_a_request_that_is_no_json_object_is_400_and_not_500",),
    "2.6 timeout": (f"{ANSWERS}::test_2_5_and_2_6_a_timeout_that_was_asked_for_is_408_in_the_original_s_words",),
    "2.6 router": (f"{ANSWERS}::test_2_6_a_router_that_leads_nowhere_is_400",),
    "2.6 unknown route": (
        f"{ANSWERS}::test_2_6_a_path_that_is_none_is_404_in_the_failure_s_shape_and_says_what_is_served",
    ),
    "2.6 bad key": (f"{ANSWERS}::test_2_6_a_key_that_is_not_ours_is_401_and_says_that_the_gateway_refused_it",),
    "2.6 model or scope": (f"{ANSWERS}::test_2_6_a_model_or_scope_that_is_not_allowed_is_403",),
    "2.6 saved-only mode": (
        f"{ANSWERS}::test_2_6_where_only_what_is_saved_may_be_used_the_code_says_what_was_blocked",
    ),
    "2.6 config override forbidden on key": (f"{ANSWERS}::test_2_6_a_key_that_forbids_configs_of_the_caller_s_is_400",),
    "2.6 admin API, old and newer": (
        "control_plane/analytics/test_portkey::test_refusals_have_the_shapes_that_its_clients_read",
    ),
    "2.7 DISABLED": (
        f"{CACHED}::test_disabled_without_cache_in_the_config",
        f"{CACHED}::test_disabled_where_debug_is_false",
        f"{CACHED}::test_disabled_on_a_route_that_is_not_cacheable",
    ),
    "2.7 MISS, HIT": (f"{CACHED}::test_miss_then_hit_that_costs_nothing_and_asks_nobody",),
    "2.7 SEMANTIC MISS, SEMANTIC HIT": (f"{CACHED}::test_semantic_modes_are_refused_by_name_until_they_are_built",),
    "2.7 REFRESH": (f"{CACHED}::test_refresh_replaces_what_was_kept",),
    "2.7 only 2xx are stored": (f"{CACHED}::test_only_answers_of_2xx_are_stored",),
    "2.7 streams": (f"{CACHED}::test_streams_are_cached_unlike_in_the_original_and_replayed_as_streams",),
    "2.7 multipart": (f"{CACHED}::test_disabled_on_a_route_that_is_not_cacheable",),
    "2.7 a hit keeps the target's path": (f"{CACHED}::test_a_hit_keeps_the_targets_path",),
    "2.8 SSE and [DONE]": (
        f"{STREAMS}::test_2_8_a_stream_is_sse_and_its_last_word_is_done",
        f"{STREAMS}::test_2_8_every_provider_s_stream_is_data_and_ends_with_done_where_some_have_none_in_the_original",
    ),
    "2.8 hook_results": (f"{STREAMS}::test_2_8_hook_results_wait_for_guardrails_which_are_refused_by_name",),
    "2.8 usage": (
        f"{STREAMS}::test_2_8_usage_is_always_asked_for_and_told_to_who_asked",
        f"{STREAMS}::test_2_8_usage_of_every_provider_is_a_chunk_without_choices_unlike_in_the_original",
    ),
    "2.8 split rule": (f"{STREAMS}::test_2_8_events_are_split_by_whatever_line_end_a_provider_writes",),
    "2.8 event lines": (f"{STREAMS}::test_2_8_the_doors_whose_events_have_names_keep_them",),
}


def named_in(module: str) -> set[str]:
    tree = ast.parse((TESTS / f"{module}.py").read_text())
    return {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


@pytest.mark.parametrize("row", ROWS)
def test_what_a_row_is_held_by_is_there(row: str) -> None:
    for place in ROWS[row]:
        module, _, name = place.partition("::")
        assert name in named_in(module), f"{row}: {place} is no test"


def test_every_test_that_is_named_after_a_row_is_in_the_table() -> None:
    held = {place for places in ROWS.values() for place in places}
    named = {f"{module}::{name}" for module in (ANSWERS, CONFIGS, STREAMS) for name in named_in(module)}
    assert named - held == set()
