// No container runs an image that has no tag or whose tag is `latest`: it could be another one tomorrow.

export const about = {
  introduce() {
    return {
      name: '__name__',
      version: '0.1.0',
      summary: '__summary__',
      requests: [{ right: 'ops:judge', reason: 'refuses containers of images without a fixed tag' }],
    };
  },
};

export const hook = {
  describe() {
    return [['container', 'judge']];
  },

  validateSettings(settings) {
    if (settings.length === 0) return;
    const message = `unknown setting \`${settings[0][0]}\``;
    throw { kind: 'invalid-input', diagnostics: [error('__name__/settings', message, 'there are no settings')] };
  },

  adjust(event, image) {
    return [];
  },

  judge(event, image) {
    const { tag, val: container } = event.subject;
    if (tag !== 'container' || isPinned(container.image)) return { tag: 'allow' };
    const message = `the image \`${container.image}\` has no fixed tag`;
    return { tag: 'deny', val: [error('__name__/unpinned', message, 'name one, such as `busybox:1.36`')] };
  },

  observe(event) {},
};

// Whether a reference names one image for good: by its digest, or by a tag other than `latest`.
function isPinned(image) {
  const [, tag] = image.split('/').pop().split(':');
  return image.includes('@') || (tag !== undefined && tag !== 'latest');
}

function error(code, message, help) {
  return { severity: 'error', code, message, span: undefined, help, url: undefined };
}
