'use strict';
const byId = (id) => document.getElementById(id);
const say = (text) => { byId('say').textContent = text; };
const facts = (pairs) => {
  byId('facts').replaceChildren(...pairs.filter(([, value]) => value).flatMap(([name, value]) => {
    const term = document.createElement('dt');
    const text = document.createElement('dd');
    term.textContent = name;
    text.textContent = value;
    return [term, text];
  }));
  byId('facts').hidden = false;
};
const buttons = (...pairs) => {
  byId('buttons').replaceChildren(...pairs.map(([text, act]) => {
    const button = document.createElement('button');
    button.textContent = text;
    button.addEventListener('click', () => { byId('buttons').hidden = true; act().catch(failed); });
    return button;
  }));
  byId('buttons').hidden = pairs.length === 0;
};
const failed = (error) => say(error.message);
// The button that sends somebody to the issuer, if there is one; `base` leads to the root of this server. The code of a
// program that waits to be let in is kept in this tab until they come back.
const signOn = (base, code) => {
  const name = document.querySelector('main').dataset.signOn;
  if (!name) return [];
  return [[`Sign in with ${name}`, async () => {
    sessionStorage.setItem('code', code || '');
    const { redirect_url } = await call('POST', `${base}auth/sso/login`, {});
    location.assign(redirect_url);
  }]];
};
// Every answer that is no success is an error with the server's words; `status` tells which.
const call = async (method, path, body) => {
  const headers = { accept: 'application/json' };
  if (body) headers['content-type'] = 'application/json';
  const response = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  const text = await response.text();
  let answer = null;
  try { answer = JSON.parse(text); } catch { /* No JSON, no words. */ }
  if (!response.ok) {
    const error = new Error((answer && answer.message) || `The server answered ${response.status}.`);
    error.status = response.status;
    throw error;
  }
  return answer;
};
