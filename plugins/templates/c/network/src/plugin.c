// A network of one: nothing but loopback, on which even low ports can be listened on without rights.
//
// Every call starts with fresh memory, so nothing is freed here. What is returned is allocated, as the
// bindings free it.

#include <stdlib.h>
#include <string.h>

#include "plugin.h"

// A copy of a text.
static plugin_string_t text(const char *chars) {
    plugin_string_t copy;
    plugin_string_dup(&copy, chars);
    return copy;
}

// Sets a list to one zeroed item, and points to it.
#define ONE(list) ((list).len = 1, (list).ptr = calloc(1, sizeof *(list).ptr))

void exports_wharf_plugin_about_introduce(exports_wharf_plugin_about_manifest_t *manifest) {
    manifest->name = text("__name__");
    manifest->version = text("0.1.0");
    manifest->summary = text("__summary__");
    wharf_plugin_types_request_t *request = ONE(manifest->requests);
    request->right = text("ops:sysctl");
    request->reason = text("lets everybody in the container listen on low ports");
}

void exports_wharf_plugin_network_driver_describe(exports_wharf_plugin_network_driver_driver_info_t *driver) {
    driver->name = text("__name__");
    driver->needs_subnet = false;
    driver->can_publish = false;
}

bool exports_wharf_plugin_network_driver_validate_settings(exports_wharf_plugin_network_driver_settings_t *settings,
                                                           exports_wharf_plugin_network_driver_host_facts_t *facts,
                                                           exports_wharf_plugin_network_driver_failure_t *failure) {
    if (settings->len == 0) return true;
    failure->kind = WHARF_PLUGIN_TYPES_FAILURE_KIND_INVALID_INPUT;
    wharf_plugin_types_diagnostic_t *said = ONE(failure->diagnostics);
    said->severity = WHARF_PLUGIN_TYPES_SEVERITY_ERROR;
    said->code = text("__name__/settings");
    said->message = text("unknown setting");
    return false;
}

bool exports_wharf_plugin_network_driver_plan_network(plugin_string_t *token,
                                                      exports_wharf_plugin_network_driver_network_t *network,
                                                      exports_wharf_plugin_network_driver_host_facts_t *facts,
                                                      exports_wharf_plugin_network_driver_borrow_view_t state,
                                                      exports_wharf_plugin_network_driver_plan_t *plan,
                                                      exports_wharf_plugin_network_driver_failure_t *failure) {
    wharf_plugin_state_view_drop_borrow(state); // after the last question
    memset(plan, 0, sizeof *plan);
    return true;
}

bool exports_wharf_plugin_network_driver_plan_attach(plugin_string_t *token,
                                                     exports_wharf_plugin_network_driver_attachment_t *attachment,
                                                     exports_wharf_plugin_network_driver_host_facts_t *facts,
                                                     exports_wharf_plugin_network_driver_borrow_view_t state,
                                                     exports_wharf_plugin_network_driver_plan_t *plan,
                                                     exports_wharf_plugin_network_driver_failure_t *failure) {
    wharf_plugin_state_view_drop_borrow(state);
    memset(plan, 0, sizeof *plan);
    plan->namespace_ = WHARF_PLUGIN_NETWORK_PLAN_NAMESPACE_OWN;
    wharf_plugin_network_plan_step_t *step = ONE(plan->steps);
    step->label = text("open low ports");
    step->action.tag = WHARF_PLUGIN_NETWORK_PLAN_ACTION_SYSCTL;
    step->action.val.sysctl.place = WHARF_PLUGIN_NETWORK_PLAN_PLACE_CONTAINER;
    step->action.val.sysctl.key = text("net/ipv4/ip_unprivileged_port_start");
    step->action.val.sysctl.value = text("0");
    return true;
}

bool exports_wharf_plugin_network_driver_release(plugin_string_t *token,
                                                 exports_wharf_plugin_network_driver_attachment_t *attachment,
                                                 exports_wharf_plugin_network_driver_borrow_view_t state,
                                                 exports_wharf_plugin_network_driver_failure_t *failure) {
    wharf_plugin_state_view_drop_borrow(state);
    return true;
}
