const token = location.hash.slice(1);
history.replaceState(null, '', location.pathname);
const greet = (user) => {
  say(`You are logged in as ${user.display_name}.`);
  facts([['On a terminal', 'windlass login']]);
};
const unlessNobody = (error) => { if (error.status !== 401) throw error; return null; };
(async () => {
  const user = await call('GET', 'current-user').catch(unlessNobody);
  const [org, id, secret] = token.split('/');
  if (secret && user) {
    say(`You are invited to join the organisation ${org}, as ${user.display_name}.`);
    buttons(['Join', async () => {
      await call('POST', `orgs/${encodeURIComponent(org)}/invitations/${encodeURIComponent(id)}/actions/redeem?redemptionToken=${encodeURIComponent(secret)}`);
      say(`You are in the organisation ${org} now.`);
    }]);
  } else if (token) {
    say(secret
      ? `You are invited to join the organisation ${org}. This link logs you in on this browser, once.`
      : 'This link logs you in on this browser. It works once.');
    buttons(
      ['Log in', async () => greet(await call('POST', 'auth/link', { token: secret || token }))],
      ...(secret ? signOn('') : []),
    );
  } else if (user) {
    greet(user);
  } else if (signOn('').length) {
    say('You are not logged in on this browser.');
    buttons(...signOn(''));
  } else {
    say('The link is not whole: what follows # in it is missing. Copy it once more, or ask for a new one.');
  }
})().catch(failed);
