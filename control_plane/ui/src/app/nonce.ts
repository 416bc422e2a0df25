/** The nonce of this page's answer: style elements that libraries make must bear it. Scripts need none. */

import { setNonce } from "get-nonce";

const meta = document.querySelector<HTMLMetaElement>('meta[property="csp-nonce"]');

export const nonce = meta?.nonce ?? "";

if (nonce) setNonce(nonce);
