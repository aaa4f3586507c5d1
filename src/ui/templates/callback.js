const query = location.search;
history.replaceState(null, '', location.pathname);
const code = sessionStorage.getItem('code');
sessionStorage.removeItem('code');
(async () => {
  const user = await call('GET', `callback${query}`);
  if (code) {
    location.replace(`../../devicelogins/${encodeURIComponent(code)}`);
    return;
  }
  say(`You are logged in as ${user.display_name}.`);
  facts([['On a terminal', 'windlass login']]);
})().catch((error) => { failed(error); buttons(...signOn('../../', code)); });
