const code = decodeURIComponent(location.pathname.split('/').pop());
const decide = async (id, action, done) => {
  await call('POST', `../devicelogins/${id}/actions/${action}`);
  facts([]);
  say(done);
};
(async () => {
  let user;
  try {
    user = await call('GET', '../current-user');
  } catch (error) {
    if (error.status !== 401) throw error;
    const ways = signOn('../', code);
    say(ways.length
      ? 'You are not logged in on this browser. You come back to this page afterwards.'
      : 'You are not logged in on this browser. Open your one-time link here first, then come back to this page.');
    buttons(...ways);
    return;
  }
  const login = await call('GET', `../devicelogins/${encodeURIComponent(code)}`);
  say(`Something wants to act as you, ${user.display_name}. Let it in only if you started it yourself just now and it shows the same code.`);
  facts([['Code', code], ['Program', login.user_agent], ['Address', login.client_ip], ['Asked', login.created_at]]);
  buttons(
    ['Let it in', () => decide(login.id, 'accept', 'It is let in. You can close this page.')],
    ['Reject', () => decide(login.id, 'reject', 'It is rejected. You can close this page.')],
  );
})().catch(failed);
