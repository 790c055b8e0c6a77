// Judges signatures with the official package, and makes one payment with its client.
//
// Standard input: {"cases": [{body, header, secret}], "url": simulator, "key": API key}, bodies in
// base64. Standard output: {"verdicts": [true, …], "intent": {id, status}}.
const { createRequire } = require("node:module");
const { readFileSync } = require("node:fs");

const Stripe = createRequire(`${process.argv[2]}/`)("stripe");
const { cases, url, key } = JSON.parse(readFileSync(0, "utf8"));
const address = new URL(url);
const stripe = new Stripe(key, {
  host: address.hostname,
  port: address.port,
  protocol: "http",
  maxNetworkRetries: 2,
  telemetry: false,
});

function passes({ body, header, secret }) {
  try {
    stripe.webhooks.constructEvent(Buffer.from(body, "base64"), header, secret);
    return true;
  } catch (error) {
    if (error instanceof Stripe.errors.StripeSignatureVerificationError) return false;
    if (error instanceof SyntaxError) return true; // verified; the body is no JSON
    throw error;
  }
}

async function main() {
  const verdicts = cases.map(passes);
  const { id, status } = await stripe.paymentIntents.create({
    amount: 2500,
    currency: "usd",
    confirm: true,
    payment_method: "pm_card_visa",
  });
  process.stdout.write(JSON.stringify({ verdicts, intent: { id, status } }));
}

main();
