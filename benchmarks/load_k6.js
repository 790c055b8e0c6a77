// k6's side of benchmarks/load.py: posts the bodies it is given, signed ahead, in turn.
import http from "k6/http";

// In each user's own memory: a SharedArray would parse an element anew at each access.
const given = JSON.parse(open(__ENV.GIVEN));
let next = 0;

export const options = {
  vus: Number(__ENV.VUS),
  duration: __ENV.DURATION,
  discardResponseBodies: true,
  thresholds: { http_req_failed: ["rate==0"] },
};

export default function () {
  const one = given[next++ % given.length];
  http.post(__ENV.URL, one.body, {
    headers: { "Content-Type": "application/json; charset=utf-8", "Stripe-Signature": one.signed },
  });
}
