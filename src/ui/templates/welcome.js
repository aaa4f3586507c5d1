const token = location.hash.slice(1);
history.replaceState(null, '', location.pathname);
if (token) {
  say('This link logs you in on this browser. It works once.');
  buttons(['Log in', async () => {
    const user = await call('POST', 'auth/link', { token });
    say(`You are logged in as ${user.display_name}.`);
    facts([['On a terminal', 'windlass login']]);
  }]);
} else {
  say('The link is not whole: what follows # in it is missing. Copy it once more, or ask for a new one.');
}
