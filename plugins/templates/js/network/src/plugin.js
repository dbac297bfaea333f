// A network of one: nothing but loopback, on which even low ports can be listened on without rights.

export const about = {
  introduce() {
    return {
      name: '__name__',
      version: '0.1.0',
      summary: '__summary__',
      requests: [{ right: 'ops:sysctl', reason: 'lets everybody in the container listen on low ports' }],
    };
  },
};

export const networkDriver = {
  describe() {
    return { name: '__name__', needsSubnet: false, canPublish: false };
  },

  validateSettings(settings, facts) {
    if (settings.length === 0) return;
    const message = `unknown setting \`${settings[0][0]}\``;
    const diagnostic = { severity: 'error', code: '__name__/settings', message, span: undefined, help: undefined, url: undefined };
    throw { kind: 'invalid-input', diagnostics: [diagnostic] };
  },

  planNetwork(token, network, facts, state) {
    return plan([]);
  },

  planAttach(token, attachment, facts, state) {
    const sysctl = { place: 'container', key: 'net/ipv4/ip_unprivileged_port_start', value: '0' };
    return plan([{ action: { tag: 'sysctl', val: sysctl }, label: 'open low ports' }]);
  },

  release(token, attachment, state) {},
};

function plan(steps) {
  return { namespace: 'own', steps, interfaces: [], dnsServers: [], dnsSearch: [], state: [], diagnostics: [] };
}
