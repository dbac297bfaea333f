// `__KEYWORD__ TEXT` writes a text to `/etc/__name__` and labels the image with it.

export const about = {
  introduce() {
    return {
      name: '__name__',
      version: '0.1.0',
      summary: '__summary__',
      requests: [
        { right: 'ops:write', reason: 'writes /etc/__name__' },
        { right: 'ops:config', reason: 'sets the label __name__' },
      ],
    };
  },
};

export const instruction = {
  describe() {
    return [{
      keyword: '__KEYWORD__',
      summary: 'writes a text into the image',
      body: 'text',
      expandsVariables: true,
      heredocs: false,
      flags: [],
      beforeFrom: false,
      startsStage: false,
    }];
  },

  validateSettings(settings) {
    if (settings.length > 0) throw refusal(`unknown setting \`${settings[0][0]}\``, 'there are no settings');
  },

  planInstruction(call, context) {
    const text = call.body.val.trim();
    if (text === '') throw refusal('__KEYWORD__ requires a text', 'write `__KEYWORD__ some words`');
    const write = {
      base: { tag: 'stage' },
      path: '/etc/__name__',
      content: new TextEncoder().encode(`${text}\n`),
      owner: undefined,
      mode: 0o644,
    };
    const plan = {
      ops: [{ action: { tag: 'write', val: write }, label: 'write /etc/__name__' }],
      rootfs: { tag: 'op', val: 0 },
      config: [{ tag: 'label', val: ['__name__', text] }],
      diagnostics: [],
    };
    return { tag: 'plan', val: plan };
  },
};

// What is thrown is the failure of the contract.
function refusal(message, help) {
  const diagnostic = { severity: 'error', code: 'InvalidInstruction', message, span: undefined, help, url: undefined };
  return { kind: 'invalid-input', diagnostics: [diagnostic] };
}
